/* SPDX-License-Identifier: MIT */
#include <hv/log.h>
#include <internal/arch.h>

struct cpu cpus[CPU_MAX];
u32 cpu_count = 1;

void cpus_start(u32 most)
{
	u32 found = most > 1 ? arch_cpus_find() : 1;

	for (u32 i = 1; i < found && cpu_count < most; i++) {
		struct cpu *cpu = &cpus[cpu_count];

		/* In the place of one that didn't start. */
		cpu->id = cpus[i].id;
		cpu->index = cpu_count;
		if (!arch_cpu_start(cpu))
			cpu_count++;
	}
	if (found > 1)
		log_info("%u of %u processors are in use", cpu_count, found);
}

void cpus_stop(void)
{
	for (; cpu_count > 1; cpu_count--) {
		struct cpu *cpu = &cpus[cpu_count - 1];

		__atomic_store_n(&cpu->stop, 1, __ATOMIC_SEQ_CST);
		arch_cpu_kick(cpu);
		arch_cpu_stop(cpu);
	}
}
