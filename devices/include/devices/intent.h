/* SPDX-License-Identifier: MIT */
/*
 * Why a guest's state is replaced. A restore always says so, because the cause can't be guessed
 * and decides what the guest is told.
 */
#ifndef DEVICES_INTENT_H
#define DEVICES_INTENT_H

#include <hv/error.h>
#include <hv/types.h>

/* X(name, text, genid_new, description) */
#define RESTORE_INTENTS(X)                                                                         \
	X(RESUME, "resume", false, "go on after a pause, a reset or a host's restart")             \
	X(ROLLBACK, "rollback", true, "the same guest, at an earlier time")                        \
	X(CLONE, "clone", true, "another guest beside the one it was taken from")                  \
	X(IMPORT, "import", true, "a guest that comes from elsewhere")                             \
	X(FAILOVER, "failover", true, "in place of a guest that was lost, from its backup")        \
	X(MIGRATE, "migrate", false, "the same guest goes on, on another machine")

enum restore_intent {
#define RESTORE_INTENT_ENUM(name, text, genid_new, description) INTENT_##name,
	RESTORE_INTENTS(RESTORE_INTENT_ENUM)
#undef RESTORE_INTENT_ENUM
	INTENT_COUNT
};

/* The intent called @text into @intent, or HV_EINVALID. */
HV_MUST_CHECK enum hv_error intent_parse(const char *text, enum restore_intent *intent);

/* Static texts, never NULL. */
const char *intent_text(enum restore_intent intent);
const char *intent_description(enum restore_intent intent);

/* Whether the guest gets a new VM generation id, and has to be notified of it. */
bool intent_wants_new_id(enum restore_intent intent);

#endif
