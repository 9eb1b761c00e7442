/* SPDX-License-Identifier: MIT */
#include <devices/intent.h>

#include <string.h>

#define KEEP false
#define NEW  true

static const struct {
	struct intent_effect effect;
	const char *text;
	const char *description;
} intents[INTENT_COUNT] = {
#define INTENT_ROW(name, id, marker, generation, notify, text, description)                        \
	[INTENT_##name] = {{id, marker, generation, NOTIFY_##notify}, text, description},
	RESTORE_INTENTS(INTENT_ROW)
#undef INTENT_ROW
};

const struct intent_effect intent_rotate = {NEW, KEEP, NEW, NOTIFY_BOTH};

/* What changed is told, and what didn't is not; and the id's column is the generation's. */
#define INTENT_ASSERT(name, id, marker, generation, notify, text, description)                     \
	static_assert((id) == (generation), text);                                                 \
	static_assert(((NOTIFY_##notify & NOTIFY_VMGENID) != 0) == (id), text);                    \
	static_assert(((NOTIFY_##notify & NOTIFY_VMCLOCK) != 0) == ((marker) || (generation)),     \
		      text);
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

const struct intent_effect *intent_effect(enum restore_intent intent)
{
	/* An intent that nobody knows is the case in which what is kept could do harm. */
	return &intents[(u32)intent < INTENT_COUNT ? intent : INTENT_CLONE].effect;
}

bool intent_wants_new_id(enum restore_intent intent)
{
	return intent_effect(intent)->new_id;
}
