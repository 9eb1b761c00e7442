/* SPDX-License-Identifier: MIT */
/*
 * Why a guest's state is replaced. A restore always says so, because the cause can't be guessed
 * and decides what the guest is told.
 */
#ifndef DEVICES_INTENT_H
#define DEVICES_INTENT_H

#include <hv/error.h>
#include <hv/types.h>

enum intent_genid {
	GENID_KEEP,
	GENID_NEW,
};

enum intent_notify {
	NOTIFY_NONE,
	NOTIFY_GENID,
};

/* X(name, VMGenID, notify, text, description) */
#define RESTORE_INTENTS(X)                                                                         \
	X(RESUME, KEEP, NONE, "resume", "go on after a pause, a reset or a host's restart")        \
	X(MIGRATE, KEEP, NONE, "migrate", "the same guest goes on, on another machine")            \
	X(ROLLBACK, NEW, GENID, "rollback", "the same guest, at an earlier time")                  \
	X(CLONE, NEW, GENID, "clone", "another guest beside the one it was taken from")            \
	X(IMPORT, NEW, GENID, "import", "a guest that comes from elsewhere")                       \
	X(FAILOVER, NEW, GENID, "failover", "in place of a guest that was lost, from its backup")

enum restore_intent {
#define RESTORE_INTENT_ENUM(name, ...) INTENT_##name,
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
