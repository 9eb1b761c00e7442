/* SPDX-License-Identifier: MIT */
/* One virtual CPU. */
#ifndef HV_VCPU_H
#define HV_VCPU_H

#include <arch/vcpu.h>
#include <internal/exit.h>
#include <hv/types.h>

struct vm;

/* What has to be done before the next entry; one word, looked at once per entry. */
#define PENDING_IRQ ((u32)1 << 0) /* the interrupt controller may have something to deliver */
/* LEAVE: back to the scheduler, for a timer, a pause or work that needs the firmware. */
#define PENDING_LEAVE ((u32)1 << 1)
#define PENDING_FLUSH ((u32)1 << 2) /* second-stage translations are stale */

enum vcpu_state {
	VCPU_IDLE,     /* not started */
	VCPU_RUNNABLE, /* would run */
	VCPU_RUNNING,  /* between arch_vcpu_load() and arch_vcpu_put() */
	VCPU_HALTED,   /* waits for an interrupt */
	VCPU_FROZEN,   /* the VM is paused: state may be read and replaced */
};

struct vcpu {
	struct vm *vm;                /* [c] */
	u32 index;                    /* [c] */
	enum vcpu_state state;        /* [s] scheduler */
	u32 pending;                  /* [v] PENDING_* */
	u64 exits[EXIT_REASON_COUNT]; /* [v] */
	const struct hv_exit *exit;   /* [v] the last one; NULL when it doesn't run */
	struct vcpu_arch arch;        /* [v] */
};

#endif
