/* SPDX-License-Identifier: MIT */
/* A processor of the machine. Each runs the same scheduler loop (sched.c). */
#ifndef HV_CPU_H
#define HV_CPU_H

#include <arch/cpu.h>
#include <hv/types.h>

#define CPU_MAX 64

struct cpu {
	u32 index; /* [c] 0: the boot CPU, the only one that calls the firmware */
	u64 id;    /* [c] what the hardware calls it: APIC id, or the affinity in MPIDR_EL1 */
	/* Atomic. It has found nothing to do, and somebody who has something must kick it. */
	u32 asleep;
	u32 kicked; /* atomic: since it fell asleep */
	u32 stop;   /* atomic: it is to leave the scheduler loop */
	bool timer; /* [c] arch_cpu_timer() has one to set; arch_cpu_on() says so */
	/* [own] when its turn ends, host counter ticks; [own] ticks that it has slept */
	u64 slice_end, slept;
	struct cpu_arch arch;
};

/*
 * Those that anew runs on: found by arch_cpus_find(), without the ones that didn't start. Constant
 * once the first VM is there.
 */
extern struct cpu cpus[CPU_MAX];
extern u32 cpu_count;

static inline struct cpu *cpu_boot(void)
{
	return &cpus[0];
}

/*
 * Starts other processors, so that there are @most with the boot CPU, and stops them again. Boot
 * CPU, firmware context. What doesn't start is said in a log line, and anew runs on the others.
 */
void cpus_start(u32 most);
void cpus_stop(void);

/*
 * Returns if no processor has panicked. Each comes here when it was kicked: the boot CPU shows what
 * another one can't, and none goes on.
 */
void cpu_stop_in_panic(void);

#endif
