/* SPDX-License-Identifier: MIT */
#include <devices/intent.h>

#include <string.h>

static const struct {
	enum intent_genid genid;
	const char *text;
	const char *description;
} intents[INTENT_COUNT] = {
#define INTENT_ROW(name, genid, notify, text, description)                                         \
	[INTENT_##name] = {GENID_##genid, text, description},
	RESTORE_INTENTS(INTENT_ROW)
#undef INTENT_ROW
};

/* intent_wants_new_id() says both: a new id is always told to the guest, and nothing else is. */
#define INTENT_ASSERT(name, genid, notify, text, description)                                      \
	static_assert((GENID_##genid == GENID_NEW) == (NOTIFY_##notify == NOTIFY_GENID), text);
RESTORE_INTENTS(INTENT_ASSERT)
#undef INTENT_ASSERT

enum hv_error intent_parse(const char *text, enum restore_intent *intent)
{
	for (u32 i = 0; i < INTENT_COUNT; i++) {
		if (!strcmp(text, intents[i].text)) {
			*intent = (enum restore_intent)i;
			return HV_OK;
		}
	}
	return HV_EINVALID;
}

const char *intent_text(enum restore_intent intent)
{
	return (u32)intent < INTENT_COUNT ? intents[intent].text : "unknown";
}

const char *intent_description(enum restore_intent intent)
{
	return (u32)intent < INTENT_COUNT ? intents[intent].description : "unknown";
}

bool intent_wants_new_id(enum restore_intent intent)
{
	/* An intent that nobody knows is the case in which a kept id could do harm. */
	return (u32)intent >= INTENT_COUNT || intents[intent].genid == GENID_NEW;
}
