/* SPDX-License-Identifier: MIT */
/*
 * A virtual GIC with the hardware around it: CPU interfaces that acknowledge and end what is in
 * their list registers as hardware does, and a physical timer interrupt for each virtual CPU.
 * What must always hold of list registers is looked at whenever they are filled; what does not
 * aborts with a message.
 */
#ifndef TESTS_VGIC_MACHINE_H
#define TESTS_VGIC_MACHINE_H

#include <devices/vgic.h>
#include <stdio.h>
#include <stdlib.h>

#define VGIC_CHECK(cond)                                                                           \
	do {                                                                                       \
		if (!(cond)) {                                                                     \
			fprintf(stderr, "%s:%d: %s does not hold\n", __FILE__, __LINE__, #cond);   \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

/* What an acknowledge register gives when there is nothing. */
#define VGIC_SPURIOUS 1023u

/* The physical interrupt behind VGIC_PPI_VTIMER, where a machine has one. */
#define VGIC_HW_TIMER 27u

/* A virtual CPU's interface; in VGIC_MACHINE's the guest runs while @inside. */
struct vgic_hw_cpu {
	bool inside;
	bool kicked;
	bool more; /* a maintenance interrupt is asked for, that of no pending ones if @eoimode */
	bool eoimode;
	u32 count;
	struct vgic_lr lrs[VGIC_LR_MAX];
	u32 eoi_count;     /* EOIcount */
	bool timer_high;   /* the timer's output */
	bool timer_active; /* its interrupt is, at the physical GIC */
	bool timer_fired;  /* it has been acknowledged; for who wants to know, and clears it */
	u32 kicks;
	u32 folds; /* for accesses to registers */
};

struct vgic_machine {
	struct vgic *gic; /* one of the two */
	struct vgic gics[2];
	u32 lr_count;
	bool folds; /* CPUs do so when that is wanted for an access to a register */
	struct vgic_hw_cpu cpus[VGIC_CPU_MAX];
};

/* With @hw_timer, VGIC_PPI_VTIMER stands for VGIC_HW_TIMER. All CPUs are out of the guest. */
void vgic_machine_init(struct vgic_machine *m, enum vgic_version version, u32 cpu_count,
		       u32 lr_count, bool hw_timer);

/* Into the guest, and out of it, with the list registers filled and folded. */
void vgic_machine_enter(struct vgic_machine *m, u32 cpu);
void vgic_machine_leave(struct vgic_machine *m, u32 cpu);
/* Whether the hardware asks @cpu to leave: a kick, or a maintenance interrupt. */
bool vgic_machine_called(const struct vgic_machine *m, u32 cpu);
/* Timers fire, and all CPUs that are called leave and enter again, until none is. */
void vgic_machine_settle(struct vgic_machine *m);
/* The owner acknowledges the timer's physical interrupt wherever it fires. */
void vgic_machine_timers(struct vgic_machine *m);

/*
 * The guest reads the acknowledge register (that of the group in question): INTID and *@source, or
 * VGIC_SPURIOUS.
 */
u32 vgic_machine_ack(struct vgic_machine *m, u32 cpu, u32 *source);
/* The guest drops the priority of what it acknowledged last, and in EOImode 0 ends it too. */
void vgic_machine_eoi(struct vgic_machine *m, u32 cpu, u32 intid, u32 source);
/* The guest ends it, in EOImode 1; this always traps. */
void vgic_machine_dir(struct vgic_machine *m, u32 cpu, u32 intid);

/* Registers, in the name of @cpu. */
u64 vgic_dist_read(struct vgic_machine *m, u32 cpu, u32 offset, u8 size);
void vgic_dist_write(struct vgic_machine *m, u32 cpu, u32 offset, u8 size, u64 value);
u64 vgic_redist_read(struct vgic_machine *m, u32 cpu, u32 offset, u8 size);
void vgic_redist_write(struct vgic_machine *m, u32 cpu, u32 offset, u8 size, u64 value);

/*
 * The register of the bank at @bank (0x080: IGROUPR) that has @intid, for which each interrupt
 * takes
 * @bits bits; that of @cpu if it is private, wherever it is.
 */
u32 vgic_irq_read(struct vgic_machine *m, u32 cpu, u32 bank, u32 bits, u32 intid);
/* Writes @value to the bits of @intid, and 0 to, or else keeps, those of the others. */
void vgic_irq_write(struct vgic_machine *m, u32 cpu, u32 bank, u32 bits, u32 intid, u32 value,
		    bool keep);

/* Bytes of all records, packed. */
size_t vgic_machine_saved_size(const struct vgic_machine *m);
void vgic_machine_save(struct vgic_machine *m, u8 *buf);
/*
 * Checks @buf as a loader does, and loads it into the machine's other GIC, which takes the place of
 * the first. Returns the reason if it is refused, and then changes nothing.
 */
const char *vgic_machine_load(struct vgic_machine *m, const u8 *buf);

#define VGIC_SAVED_MAX 4096

#endif
