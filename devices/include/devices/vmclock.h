/* SPDX-License-Identifier: MIT */
/*
 * VMClock: a page that a guest's user space may map, which says that the guest's time was disrupted
 * and that the guest was loaded from saved state (UAPI.13 version 1.1; the layout is that of
 * Linux's include/uapi/linux/vmclock-abi.h, which 1.0 of the text differs from).
 *
 * It says nothing of the time of day: the only clock is the firmware's, which counts whole seconds
 * and states no bound of its error against UTC, and a bound that nobody can vouch for is none. So
 * there is no counter, and the clock's status is "unknown".
 *
 * The order of a change is that of a seqlock: an odd number, what changes, an even number, and then
 * the notification. vmclock_update() does the first three; when to notify is the caller's decision.
 */
#ifndef DEVICES_VMCLOCK_H
#define DEVICES_VMCLOCK_H

#include <hv/irq.h>
#include <hv/mem.h>
#include <hv/rng.h>
#include <hv/state.h>

/* What the page begins with; little-endian, the rest of it is zeros. */
struct vmclock_page {
	u32 magic;
	u32 size; /* of the region that the page is in, bytes */
	u16 version;
	u8 counter_id;
	u8 time_type;
	u32 seq_count;         /* odd: what follows is being changed */
	u64 disruption_marker; /* another when the guest's counter was disrupted */
	u64 flags;
	u8 pad[2];
	u8 clock_status;
	u8 leap_second_smearing_hint;
	u16 tai_offset_sec;
	u8 leap_indicator;
	u8 counter_period_shift;
	u64 counter_value;
	u64 counter_period_frac_sec;
	u64 counter_period_esterror_rate_frac_sec;
	u64 counter_period_maxerror_rate_frac_sec;
	u64 time_sec;
	u64 time_frac_sec;
	u64 time_esterror_nanosec;
	u64 time_maxerror_nanosec;
	u64 vm_generation_counter; /* another when the guest was loaded from saved state */
};
static_assert(offsetof(struct vmclock_page, counter_id) == 0x0a, "counter_id");
static_assert(offsetof(struct vmclock_page, seq_count) == 0x0c, "seq_count");
static_assert(offsetof(struct vmclock_page, disruption_marker) == 0x10, "disruption_marker");
static_assert(offsetof(struct vmclock_page, flags) == 0x18, "flags");
static_assert(offsetof(struct vmclock_page, clock_status) == 0x22, "clock_status");
static_assert(offsetof(struct vmclock_page, tai_offset_sec) == 0x24, "tai_offset_sec");
static_assert(offsetof(struct vmclock_page, counter_value) == 0x28, "counter_value");
static_assert(offsetof(struct vmclock_page, time_sec) == 0x48, "time_sec");
static_assert(offsetof(struct vmclock_page, vm_generation_counter) == 0x68, "generation");
static_assert(sizeof(struct vmclock_page) == 0x70, "struct vmclock_page");

#define VMCLOCK_MAGIC           0x4b4c4356 /* "VCLK" */
#define VMCLOCK_VERSION         1
#define VMCLOCK_COUNTER_INVALID 0xff
#define VMCLOCK_STATUS_UNKNOWN  0
#define VMCLOCK_FLAG_GENERATION BIT(8) /* there is a vm_generation_counter */
#define VMCLOCK_FLAG_NOTIFIES   BIT(9) /* each new even seq_count is told by an interrupt */

#define VMCLOCK_ALIGN 4096 /* of the page, in any machine */

/* Changes only while none of the VM's virtual CPUs runs. */
struct vmclock {
	u64 marker;      /* disruption_marker */
	u64 generation;  /* vm_generation_counter; never 0 once there is one */
	gpa_t address;   /* of the page in guest memory */
	u32 seq_count;   /* even */
	u32 line_number; /* of the interrupt that says so */
	gpa_t home;      /* where this machine has it; a loaded address must be the same */
	u64 region;      /* bytes of guest memory that are the page's alone */
	struct irq_line line;
	const struct guest_mem *mem;
	const struct rng *rng;
};

extern const struct state_desc vmclock_state;

/*
 * Takes @region bytes of memory, in which the page is alone, and an interrupt line from @resources.
 * Linux lets user space map the page only if the region is one of its own pages at least. @mem and
 * @rng must outlive the device. The errors of the resources, HV_EINVALID for memory that is not
 * aligned. Guest memory isn't touched.
 */
HV_MUST_CHECK enum hv_error vmclock_new(struct vmclock *dev, const struct resources *resources,
					const struct guest_mem *mem, const struct rng *rng,
					u64 region);

/*
 * Writes the page to guest memory: before the guest starts, when marker and generation are drawn,
 * and again after a reset of the guest, which keeps them. HV_ENO_ENTROPY, or the errors of
 * guest_write().
 */
HV_MUST_CHECK enum hv_error vmclock_activate(struct vmclock *dev);

/*
 * A random @generation for vmclock_update(): not 0 and not the present one, so that no two clones
 * have the same. HV_ENO_ENTROPY: none could be drawn.
 */
HV_MUST_CHECK enum hv_error vmclock_draw(const struct vmclock *dev, u64 *generation);

/* What is to be changed. */
struct vmclock_change {
	bool disrupted; /* there is another marker */
	/* Random. 0, or the present one: the next number, as it has only to be another. */
	u64 marker;
	u64 generation; /* random; 0: kept */
};

/*
 * Changes the page. The errors of guest_write(); HV_ENO_ENTROPY when the generation is the present
 * one, with nothing changed.
 */
HV_MUST_CHECK enum hv_error vmclock_update(struct vmclock *dev,
					   const struct vmclock_change *change);

/* Tells the guest, by one edge on the line. */
void vmclock_notify_guest(struct vmclock *dev);

#endif
