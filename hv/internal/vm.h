/* SPDX-License-Identifier: MIT */
/*
 * A virtual machine. Members say who protects them: [c] constant after creation, [b] the boot CPU
 * in firmware context, [l] the VM's lock. All that [l] protects may also be touched by whoever has
 * frozen the VM.
 */
#ifndef HV_VM_H
#define HV_VM_H

#include <arch/vm.h>
#include <hv/chardev.h>
#include <hv/clock.h>
#include <hv/io.h>
#include <hv/irq.h>
#include <hv/log.h>
#include <hv/mem.h>
#include <hv/rng.h>
#include <hv/state.h>
#include <internal/config.h>
#include <internal/lock.h>
#include <internal/mem.h>
#include <internal/vcpu.h>

#define VM_VCPU_MAX   8
#define VM_RECORD_MAX 32
#define VM_CAUSE_MAX  160

/* X(name, text) */
#define VM_STATES(X)                                                                               \
	X(RUNNING, "running")                                                                      \
	X(PAUSED, "paused")                                                                        \
	X(OFF, "off")                                                                              \
	X(FAILED, "failed")

enum vm_state {
#define VM_STATE_ENUM(name, text) VM_##name,
	VM_STATES(VM_STATE_ENUM)
#undef VM_STATE_ENUM
};

/* One structure that a snapshot saves. */
struct vm_record {
	const struct state_desc *desc;
	void *obj;
	u32 instance;
};

/*
 * What a guest wrote on its console, and what a person typed for it. Rings, never blocking, in
 * pages of the machine's pool that are taken when they are first written to.
 */
#define CONSOLE_OUT 65536
#define CONSOLE_IN  4096
static_assert(CONSOLE_IN == PAGE_SIZE && CONSOLE_OUT % PAGE_SIZE == 0, "rings of whole pages");

struct console {
	u8 *out[CONSOLE_OUT / PAGE_SIZE];
	u64 out_head;  /* bytes ever written */
	u64 out_shown; /* bytes ever shown */
	u64 out_lost;  /* bytes overwritten before they were shown, or that there was no page for */
	u8 *in;
	u64 in_head;
	u64 in_tail;
};

/* The guest's own time, the part of it that a snapshot carries. */
struct vm_time {
	u64 counter; /* guest counter ticks at the moment of saving */
	u64 counter_hz;
};

/* The snapshot that a VM's state came from: taken of it, or restored, whichever was last. */
struct lineage {
	u8 id[16]; /* zeros: none, it was booted */
	char name[CONFIG_NAME_MAX];
};

/* The restore that the next first entry ends. Firmware context. */
struct vm_restore {
	bool waits; /* for the entry */
	char snapshot[CONFIG_NAME_MAX];
	enum restore_intent intent;
	u64 started; /* host counter when it was asked for */
};

/* What the resource allocator has given out (platform.h). */
struct platform {
	const struct platform_map *map;
	u64 memory_next;
	u32 line_next;
};

struct vm {
	struct vm *next;         /* [b] */
	struct vm_config config; /* [c] but for what a restore takes over: [b] */
	struct lock lock;
	enum vm_state state;      /* [l] */
	u32 holds;                /* [l] of vm_hold(): it doesn't run, whatever its state */
	u32 on_cpu;               /* [l] virtual CPUs that are RUNNING */
	bool time_runs;           /* [l] the guest counter counts */
	bool state_changed;       /* [l] not reported by an event yet */
	char cause[VM_CAUSE_MAX]; /* [l] why it is off or failed */
	bool reset_wanted;        /* [l] the guest asked for a reboot */
	bool mem_wanted;          /* [l] the pool ran dry, or a page is on the volume still */
	struct mem mem;           /* [l] */
	struct io_bus io;         /* [l]; regions [c] */
	struct clock clock;       /* [l] */
	struct vm_time time;      /* [l] only valid while saved or loaded */
	u64 counter_offset;       /* [l] guest counter = arch_counter() + offset, while time_runs */
	u64 counter_frozen;       /* [l] guest counter while it doesn't */
	struct rng rng;           /* [c] */
	struct guest_mem guest_mem;       /* [c] */
	struct resources resources;       /* [c] */
	struct platform platform;         /* [c] */
	struct chardev chardev;           /* [c] to console */
	struct console console;           /* [l] */
	void (*console_input)(void *ctx); /* [c] tells the UART that there is input */
	void *console_input_ctx;
	struct vmgenid *genid;      /* [c] the device; part of arch */
	struct vmclock *vmclock;    /* [c] likewise */
	struct log_limit log_limit; /* [l] */
	struct lineage lineage;     /* [b] */
	struct vm_restore restore;  /* [b] */
	u64 first_entry_counter; /* [l] host counter at the first entry since (re)start; 0: none */
	u32 record_count;        /* [c] */
	struct vm_record records[VM_RECORD_MAX];
	u32 vcpu_count;      /* [c] */
	struct vcpu *vcpus;  /* [c] behind this structure */
	struct vm_arch arch; /* [l] */
} __attribute__((aligned(64)));
static_assert(sizeof(struct vm) % _Alignof(struct vcpu) == 0, "virtual CPUs are behind it");

static inline void vm_lock(struct vm *vm)
{
	lock_take(&vm->lock);
}

static inline void vm_unlock(struct vm *vm)
{
	lock_release(&vm->lock);
}

/* Whether there is no state to go on with, for want of a reset. The VM's lock is held. */
static inline bool vm_is_over(const struct vm *vm)
{
	return vm->state == VM_OFF || vm->state == VM_FAILED;
}

/* Whether its virtual CPUs may run. The VM's lock is held. */
static inline bool vm_runs(const struct vm *vm)
{
	return vm->state == VM_RUNNING && !vm->holds;
}

/* ---- making and ending (boot CPU, firmware context) ---- */

/*
 * Makes a VM from @config and loads its kernel; it starts paused. On failure a log line says why
 * and nothing is left behind. *@vm is owned by the table of VMs until vm_destroy().
 */
HV_MUST_CHECK enum hv_error vm_create(const struct vm_config *config, struct vm **vm);
/*
 * The same without a kernel, for state that is about to be restored; takes next to no memory. It is
 * called @name, as no other VM is.
 */
HV_MUST_CHECK enum hv_error vm_create_blank(const struct vm_config *config, const char *name,
					    struct vm **vm);
void vm_destroy(struct vm *vm);
/* How many have been destroyed since the start. */
u64 vm_ended(void);
struct vm *vm_find(const char *name);
/* A VM but @vm whose generation id is @id; NULL: there is none. */
const struct vm *vm_with_id(const struct vm *vm, const u8 id[16]);
/* The first of all VMs; the others follow by ->next. */
struct vm *vm_first(void);

/* Adds a structure to what snapshots save. Panics when the table is full. */
void vm_record_add(struct vm *vm, const struct state_desc *desc, void *obj, u32 instance);

/*
 * Afterwards no virtual CPU runs, all are frozen, and the guest's time stands still. Waits for the
 * processors that run one to leave it, which each does within a few microseconds.
 */
void vm_pause(struct vm *vm);
void vm_resume(struct vm *vm);
HV_MUST_CHECK enum hv_error vm_reset(struct vm *vm);

/* The same freeze without another state: for a look, or a change, in between. Nests. */
void vm_hold(struct vm *vm);
void vm_release(struct vm *vm);

/* Waits until no virtual CPU of a VM that is not to run, runs. */
void vm_settle(struct vm *vm);

/* ---- from any context, with the VM's lock held or all of it frozen ---- */

/* The VM ends in state `failed`, with the reason in words; others run on. */
HV_PRINTF(2, 3) void vm_fail(struct vm *vm, const char *format, ...);
/* The guest asked for power off, or for a reset. */
void vm_power_off(struct vm *vm);
void vm_request_reset(struct vm *vm);
/* A payload test is over; its code is in the cause. */
void vm_end_test(struct vm *vm, u32 code);
/* An interrupt for virtual CPU @index may have become deliverable. */
void vm_kick(struct vm *vm, u32 index);
/*
 * For sched.c: @vcpu runs now, or no longer does, and is what vcpu->next_state says, or frozen.
 */
void vm_vcpu_enters(struct vcpu *vcpu);
void vm_vcpu_left(struct vcpu *vcpu);
/* Guest counter now. */
u64 vm_counter(const struct vm *vm);
/*
 * Guest time, ns, at which the guest counter is @counter; rounded up, so that a timer that was set
 * to it finds it passed. Never CLOCK_NEVER.
 */
u64 vm_deadline(const struct vm *vm, u64 counter);
const char *vm_state_text(enum vm_state state);

#endif
