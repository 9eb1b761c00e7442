/* SPDX-License-Identifier: MIT */
#include <devices/intent.h>

#include <string.h>

static const struct {
	const char *text;
	const char *description;
	bool genid_new;
} intents[INTENT_COUNT] = {
#define INTENT_ROW(name, text, genid_new, description)                                             \
	[INTENT_##name] = {text, description, genid_new},
	RESTORE_INTENTS(INTENT_ROW)
#undef INTENT_ROW
};

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
	return (u32)intent >= INTENT_COUNT || intents[intent].genid_new;
}
