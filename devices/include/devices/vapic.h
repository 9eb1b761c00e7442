/* SPDX-License-Identifier: MIT */
/*
 * The local APIC of a virtual CPU, in xAPIC and x2APIC mode: a pure state machine. Intel SDM vol. 3
 * chapter 11; AMD APM vol. 2 chapter 16.
 *
 * The APIC id is the index of the virtual CPU. LINT0, LINT1, the thermal sensor and the performance
 * counters have registers, but nothing is connected to them: there is no 8259 and no NMI line.
 */
#ifndef DEVICES_VAPIC_H
#define DEVICES_VAPIC_H

#include <hv/clock.h>
#include <hv/io.h>
#include <hv/state.h>
#include <hv/types.h>

#define VAPIC_MAX  32
#define VAPIC_BASE ((u64)0xfee00000) /* where the registers are in xAPIC mode; can't be moved */
#define VAPIC_SIZE ((u64)0x1000)

/* MSRs of x2APIC mode. SDM 11.12.1.2. */
#define VAPIC_MSR_BASE  ((u64)0x800)
#define VAPIC_MSR_COUNT ((u64)0x100)

/* Delivery modes of ICR, redirection table and MSI. SDM 11.6.1. */
enum vapic_delivery {
	VAPIC_FIXED = 0,
	VAPIC_LOWEST = 1,
	VAPIC_SMI = 2,
	VAPIC_NMI = 4,
	VAPIC_INIT = 5,
	VAPIC_STARTUP = 6,
	VAPIC_EXTINT = 7,
};

enum vapic_mode {
	VAPIC_DISABLED, /* globally, in IA32_APIC_BASE */
	VAPIC_XAPIC,
	VAPIC_X2APIC,
};

enum vapic_lvt {
	VAPIC_LVT_TIMER,
	VAPIC_LVT_THERMAL,
	VAPIC_LVT_PERF,
	VAPIC_LVT_LINT0,
	VAPIC_LVT_LINT1,
	VAPIC_LVT_ERROR,
	VAPIC_LVT_COUNT,
};

struct vapic;

/*
 * All APICs of a VM, in the order of their ids. Zeroed by the owner, filled by vapic_init().
 * It is the context of vapic_mmio() and vapic_msr(), which take the APIC of access->vcpu.
 */
struct vapic_bus {
	struct vapic *apics[VAPIC_MAX];
	u32 count;
	/*
	 * Set by the I/O APIC: which messages find a destination may have changed. May be NULL. Not
	 * told of what is loaded, as it is loaded, too.
	 */
	void (*changed)(void *ctx);
	void *changed_ctx;
};

/* What an APIC needs of the machine around it. All members are required. */
struct vapic_ops {
	/* Virtual CPU @vcpu has got an interrupt that may be deliverable. */
	void (*kick)(void *ctx, u32 vcpu);
	/* INIT for @vcpu; its APIC has been reset already. */
	void (*init)(void *ctx, u32 vcpu);
	/* Start-up IPI: begin at page @vector. To be ignored by a processor that doesn't wait. */
	void (*startup)(void *ctx, u32 vcpu, u8 vector);
	void (*nmi)(void *ctx, u32 vcpu);
	/* End of the level-triggered interrupt @vector: for vioapic_eoi(). */
	void (*eoi)(void *ctx, u8 vector);
	/*
	 * The guest time (ns) at which the TSC of @vcpu reaches @guest_tsc, in the past if it has;
	 * CLOCK_NEVER if that can't be expressed.
	 */
	u64 (*deadline_ns)(void *ctx, u32 vcpu, u64 guest_tsc);
};

/* Bit n of word w of irr, isr and tmr is vector 32 * w + n. */
struct vapic {
	u32 mode; /* enum vapic_mode */
	u32 tpr;
	u32 irr[8];
	u32 isr[8];
	u32 tmr[8];
	u32 lvt[VAPIC_LVT_COUNT];
	u32 svr;
	u32 ldr; /* of xAPIC mode; in x2APIC mode it follows from the id */
	u32 dfr;
	u32 esr;         /* as read */
	u32 esr_pending; /* found since the last write to the ESR */
	u32 initial_count;
	u32 divide;
	u32 pad;
	u64 icr;
	u64 timer_deadline; /* ns of guest time, all timer modes; CLOCK_NEVER: not running */
	u64 tsc_deadline;   /* MSR 6e0h */

	/* Derived, kept up to date at every change. */
	u32 irr_words; /* bit n: irr[n] is not 0 */
	u32 isr_words;
	u32 ppr;

	u32 vcpu;
	u64 timer_hz;
	struct vapic_bus *bus;
	struct clock *clock;
	const struct vapic_ops *ops;
	void *ctx;
	struct timer timer;
};

extern const struct state_desc vapic_state;

/*
 * Makes @apic the APIC of virtual CPU @vcpu, which is below VAPIC_MAX, and adds it to @bus; call it
 * for 0, 1, … in this order. @timer_hz, at least 1 MHz, drives the timer. @bus, @clock, @ops and
 * @ctx are kept. The state is that after power-on. Once only: from then on vapic_reset().
 */
void vapic_init(struct vapic *apic, u32 vcpu, struct vapic_bus *bus, struct clock *clock,
		u64 timer_hz, const struct vapic_ops *ops, void *ctx);

/* Power-on state, in xAPIC mode. */
void vapic_reset(struct vapic *apic);

/* io_handler for VAPIC_BASE; @ctx is the struct vapic_bus. Anything but 4 bytes is ignored. */
enum io_result vapic_mmio(void *ctx, struct io_access *access);

/* io_handler for the MSRs from VAPIC_MSR_BASE on; @ctx is the struct vapic_bus. */
enum io_result vapic_msr(void *ctx, struct io_access *access);

/* IA32_APIC_BASE. IO_FAULT: moved, a reserved bit or a transition that there isn't. */
u64 vapic_read_base(const struct vapic *apic);
enum io_result vapic_write_base(struct vapic *apic, u64 value);

/* IA32_TSC_DEADLINE. Reads 0, and a write is ignored, if the timer is not in that mode. */
u64 vapic_read_deadline(const struct vapic *apic);
void vapic_write_deadline(struct vapic *apic, u64 guest_tsc);
/* The guest's TSC was set, or its offset changed: works out again when the deadline comes. */
void vapic_tsc_moved(struct vapic *apic);

/* CR8, 0 to 15. Setting it clears the lower bits of the TPR. SDM 11.8.6. */
static inline u8 vapic_get_tpr(const struct vapic *apic)
{
	return (u8)(apic->tpr >> 4);
}

void vapic_set_tpr(struct vapic *apic, u8 value);

/*
 * A message from an I/O APIC or an MSI; @delivery_mode is enum vapic_delivery, @dest 0xff goes to
 * all, @level: level-triggered. Returns whether any APIC took it.
 */
bool vapic_accept_message(struct vapic_bus *bus, u32 dest, bool logical, u8 delivery_mode,
			  u8 vector, bool level);

/* Whether any APIC would now take such a message. */
bool vapic_has_destination(const struct vapic_bus *bus, u32 dest, bool logical, u8 delivery_mode);

/* The highest vector that can be delivered now, or -1. */
static inline int vapic_pending(const struct vapic *apic)
{
	u32 word, vector;

	if (!apic->irr_words)
		return -1;
	word = 31 - (u32)__builtin_clz(apic->irr_words);
	vector = 32 * word + 31 - (u32)__builtin_clz(apic->irr[word]);
	/* By class alone. SDM 11.8.3.1. */
	return (vector & 0xf0) > (apic->ppr & 0xf0) ? (int)vector : -1;
}

/* The processor takes @vector, which vapic_pending() has returned: it is in service now. */
void vapic_take(struct vapic *apic, u8 vector);

#endif
