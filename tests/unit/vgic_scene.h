/* SPDX-License-Identifier: MIT */
/* The machine that the tests of the virtual GIC share, and what they do with it. */
#ifndef TESTS_VGIC_SCENE_H
#define TESTS_VGIC_SCENE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "vgic_machine.h"

#define CPUS 3u

/* Banks of registers, and the bits of each interrupt in them, for vgic_irq_read() and _write(). */
#define GROUP      0x080, 1
#define SET_ENABLE 0x100, 1
#define DISABLE    0x180, 1
#define SET_PEND   0x200, 1
#define CLEAR_PEND 0x280, 1
#define SET_ACTIVE 0x300, 1
#define DEACTIVATE 0x380, 1
#define PRIORITY   0x400, 8
#define TARGETS    0x800, 8
#define CONFIG     0xc00, 2

static struct vgic_machine m;

/* Everything is heard: both groups, at distributor and CPU interfaces. */
static inline void start_lrs(enum vgic_version version, u32 lr_count)
{
	vgic_machine_init(&m, version, CPUS, lr_count, true);
	vgic_dist_write(&m, 0, 0, 4, 3);
	for (u32 i = 0; i < CPUS; i++) {
		struct vgic_cpu_if *cpu_if = vgic_cpu_if(m.gic, i);

		cpu_if->pmr = 0xf8;
		cpu_if->group0 = 1;
		cpu_if->group1 = 1;
	}
}

static inline void start(enum vgic_version version)
{
	start_lrs(version, 4);
}

static inline void set(u32 cpu, u32 bank, u32 bits, u32 intid)
{
	vgic_irq_write(&m, cpu, bank, bits, intid, 1, false);
}

static inline void put(u32 cpu, u32 bank, u32 bits, u32 intid, u32 value)
{
	vgic_irq_write(&m, cpu, bank, bits, intid, value, true);
}

static inline u32 get(u32 cpu, u32 bank, u32 bits, u32 intid)
{
	return vgic_irq_read(&m, cpu, bank, bits, intid);
}

static inline void route(u32 intid, u64 to)
{
	if (m.gic->version == VGIC_V2)
		put(0, TARGETS, intid, (u32)to);
	else
		vgic_dist_write(&m, 0, 0x6000 + 8 * intid, 8, to);
}

/* An SPI or PPI that is enabled, on CPU 0. */
static inline struct irq_line line_on(u32 intid, bool edge, u32 priority)
{
	set(0, SET_ENABLE, intid);
	put(0, CONFIG, intid, edge ? 2 : 0);
	put(0, PRIORITY, intid, priority);
	if (intid >= VGIC_SPI_BASE)
		route(intid, m.gic->version == VGIC_V2 ? 1 : 0);
	return intid < VGIC_SPI_BASE ? vgic_private_line(m.gic, 0, intid) : vgic_line(m.gic, intid);
}

static inline u32 ack(u32 cpu)
{
	u32 source;

	return vgic_machine_ack(&m, cpu, &source);
}

/* Out of the guest and in again, whether called or not. */
static inline void exit_guest(u32 cpu)
{
	if (m.cpus[cpu].inside)
		vgic_machine_leave(&m, cpu);
	vgic_machine_enter(&m, cpu);
}

/* What is in the list registers of @cpu of @intid; NULL: nothing. */
static inline const struct vgic_lr *lr_of(u32 cpu, u32 intid)
{
	for (u32 i = 0; i < m.cpus[cpu].count; i++)
		if (m.cpus[cpu].lrs[i].intid == intid)
			return &m.cpus[cpu].lrs[i];
	return NULL;
}

/* Takes, and ends, everything that is signalled to @cpu; returns the first, and how many. */
static inline u32 take_all(u32 cpu, u32 *count)
{
	u32 first = VGIC_SPURIOUS, intid, source;

	*count = 0;
	if (!m.cpus[cpu].inside)
		vgic_machine_enter(&m, cpu);
	vgic_machine_settle(&m);
	while ((intid = vgic_machine_ack(&m, cpu, &source)) != VGIC_SPURIOUS) {
		if (!(*count)++)
			first = intid;
		vgic_machine_eoi(&m, cpu, intid, source);
		vgic_machine_settle(&m);
		assert_true(*count < 1000);
	}
	return first;
}

/* The one interrupt that @cpu is signalled, and ends. */
static inline u32 take(u32 cpu)
{
	u32 count, intid = take_all(cpu, &count);

	assert_in_range(count, 0, 1);
	return intid;
}

#endif
