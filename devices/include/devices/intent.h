/* SPDX-License-Identifier: MIT */
/*
 * Why a guest's state is replaced. A restore always says so, because the cause can't be guessed
 * and decides what the guest is told.
 */
#ifndef DEVICES_INTENT_H
#define DEVICES_INTENT_H

#include <hv/error.h>
#include <hv/types.h>

/*
 * X(name, VMGenID, VMClock disruption_marker, VMClock vm_generation_counter, notify, text,
 * description)
 */
#define RESTORE_INTENTS(X)                                                                         \
	X(RESUME, KEEP, KEEP, KEEP, NONE, "resume",                                                \
	  "go on after a pause, a reset or a host's restart")                                      \
	X(MIGRATE, KEEP, NEW, KEEP, VMCLOCK, "migrate",                                            \
	  "the same guest goes on, on another machine")                                            \
	X(ROLLBACK, NEW, NEW, NEW, BOTH, "rollback", "the same guest, at an earlier time")         \
	X(CLONE, NEW, NEW, NEW, BOTH, "clone", "another guest beside the one it was taken from")   \
	X(IMPORT, NEW, NEW, NEW, BOTH, "import", "a guest that comes from elsewhere")              \
	X(FAILOVER, NEW, NEW, NEW, BOTH, "failover",                                               \
	  "in place of a guest that was lost, from its backup")

/* Which devices tell the guest. */
enum intent_notify {
	NOTIFY_NONE,
	NOTIFY_VMGENID = BIT(0),
	NOTIFY_VMCLOCK = BIT(1),
	NOTIFY_BOTH = NOTIFY_VMGENID | NOTIFY_VMCLOCK,
};

/* One row of it: what of the guest's is replaced, and who says so. */
struct intent_effect {
	bool new_id;
	bool new_marker;
	bool new_generation;
	enum intent_notify notify;
};

/* What a new id without a restore means: the source that runs on after a snapshot is `rotated`. */
extern const struct intent_effect intent_rotate;

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

/* What @intent means for the guest; for one that nobody knows, all that there is. */
const struct intent_effect *intent_effect(enum restore_intent intent);

/* Whether the guest gets a new VM generation id, and has to be notified of it. */
bool intent_wants_new_id(enum restore_intent intent);

#endif
