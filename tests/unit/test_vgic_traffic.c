/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "vgic_model.h"

static u32 next_random(void *ctx, bool *end)
{
	u64 *seed = ctx;

	(void)end;
	/* Knuth's constants for a 64-bit linear congruential generator; the upper bits are good. */
	*seed = *seed * 6364136223846793005u + 1442695040888963407u;
	return (u32)(*seed >> 33);
}

static void run_model(enum vgic_version version)
{
	static const u32 cpus[] = {1, 2, 3, VGIC_CPU_MAX};
	static const u32 lrs[] = {2, 4, VGIC_LR_MAX};
	struct vgic_model_counts counts = {0};

	for (u64 round = 0; round < 24; round++) {
		u64 seed = round + 1;

		vgic_model_run(version, cpus[round % ARRAY_COUNT(cpus)],
			       lrs[round % ARRAY_COUNT(lrs)], next_random, &seed, 20000, &counts);
	}
	print_message("%llu acks, %llu nested, %llu missing, %llu loads, %llu wakes\n",
		      (unsigned long long)counts.acks, (unsigned long long)counts.nested,
		      (unsigned long long)counts.missing, (unsigned long long)counts.loads,
		      (unsigned long long)counts.wakes);
	assert_true(counts.acks > 10000);
	assert_true(counts.nested > 1000);
	assert_true(counts.missing > 20);
	assert_true(counts.loads > 1000);
	assert_true(counts.wakes > 1000);
}

static void test_model_v2(void **state)
{
	(void)state;
	run_model(VGIC_V2);
}

static void test_model_v3(void **state)
{
	(void)state;
	run_model(VGIC_V3);
}

/*
 * An owner that lets guests run on for a while when they are called: whatever they have taken, or
 * not taken, by the time they leave, no interrupt is lost, and none comes more often than it was
 * raised, at two CPUs at once, or with nothing behind it.
 */
#define SGI_END    4u
#define EDGE_FIRST 32u
#define EDGE_END   40u
#define LEVEL_END  48u
#define DEPTH      40u

struct late {
	struct vgic_machine machine;
	u64 seed;
	u32 cpu_count;
	struct {
		u32 raised; /* SGIs: by all senders */
		u32 taken;
		bool owed; /* raised since it was last taken */
		bool high;
		bool active;
	} irqs[VGIC_CPU_MAX][LEVEL_END]; /* SPIs: in the first */
	struct {
		u32 intid[DEPTH];
		u32 source[DEPTH];
		u32 depth;
	} guests[VGIC_CPU_MAX];
	u64 acks;
};

static struct late late;

static u32 late_pick(u32 count)
{
	return next_random(&late.seed, NULL) % count;
}

static void late_ack(u32 cpu)
{
	struct vgic_machine *m = &late.machine;
	u32 source, intid = vgic_machine_ack(m, cpu, &source);
	u32 of = intid < VGIC_SPI_BASE ? cpu : 0;

	if (intid == VGIC_SPURIOUS)
		return;
	late.acks++;
	assert_true(late.guests[cpu].depth < DEPTH);
	late.guests[cpu].intid[late.guests[cpu].depth] = intid;
	late.guests[cpu].source[late.guests[cpu].depth++] = source;
	assert_true(intid < LEVEL_END);
	assert_false(late.irqs[of][intid].active);
	late.irqs[of][intid].active = true;
	late.irqs[of][intid].owed = false;
	if (intid == VGIC_PPI_VTIMER)
		assert_true(m->cpus[cpu].timer_active);
	else if (intid < EDGE_END)
		assert_true(++late.irqs[of][intid].taken <= late.irqs[of][intid].raised);
	else
		assert_true(late.irqs[of][intid].high);
}

/* The handler silences its device, and ends the interrupt. */
static void late_handle(u32 cpu)
{
	struct vgic_machine *m = &late.machine;
	u32 depth = late.guests[cpu].depth, intid, source;

	if (!depth)
		return;
	intid = late.guests[cpu].intid[depth - 1];
	source = late.guests[cpu].source[depth - 1];
	late.guests[cpu].depth--;
	if (intid == VGIC_PPI_VTIMER) {
		m->cpus[cpu].timer_high = false;
	} else if (intid >= EDGE_END && late_pick(4)) {
		struct irq_line line = vgic_line(m->gic, intid);

		vgic_machine_leave(m, cpu);
		late.irqs[0][intid].high = false;
		irq_set(&line, false);
		vgic_machine_enter(m, cpu);
	}
	late.irqs[intid < VGIC_SPI_BASE ? cpu : 0][intid].active = false;
	vgic_machine_eoi(m, cpu, intid, source);
	if (vgic_cpu_if(m->gic, cpu)->eoimode)
		vgic_machine_dir(m, cpu, intid);
}

static void late_send(u32 cpu)
{
	struct vgic_machine *m = &late.machine;
	u32 sgi = late_pick(SGI_END), targets = late_pick(1u << late.cpu_count);

	if (m->gic->version == VGIC_V2)
		vgic_dist_write(m, cpu, 0xf00, 4, targets << 16 | sgi);
	else
		vgic_send_sgi1(m->gic, cpu, (u64)sgi << 24 | targets);
	for (u32 i = 0; i < late.cpu_count; i++)
		if (targets >> i & 1) {
			late.irqs[i][sgi].raised++;
			late.irqs[i][sgi].owed = true;
		}
}

static void late_route(u32 cpu, u32 intid)
{
	struct vgic_machine *m = &late.machine;
	u32 to = late_pick(late.cpu_count);

	if (m->gic->version == VGIC_V2)
		vgic_dist_write(m, cpu, 0x800 + intid, 1, 1u << to);
	else
		vgic_dist_write(m, cpu, 0x6000 + 8 * intid, 8, to);
}

static void late_raise(void)
{
	struct vgic_machine *m = &late.machine;
	u32 intid = EDGE_FIRST + late_pick(LEVEL_END - EDGE_FIRST);
	struct irq_line line = vgic_line(m->gic, intid);

	if (intid < EDGE_END) {
		late.irqs[0][intid].raised++;
		late.irqs[0][intid].owed = true;
		irq_pulse(&line);
	} else {
		late.irqs[0][intid].high = true;
		irq_set(&line, true);
	}
}

static void late_change(u32 cpu)
{
	struct vgic_machine *m = &late.machine;
	u32 intid = EDGE_FIRST + late_pick(LEVEL_END - EDGE_FIRST);

	vgic_machine_leave(m, cpu);
	switch (late_pick(4)) {
	case 0:
	case 1:
		late_send(cpu);
		break;
	case 2:
		late_route(cpu, intid);
		break;
	case 3:
		vgic_irq_write(m, cpu, late_pick(3) ? 0x100 : 0x180, 1, intid, 1, false);
		break;
	}
	vgic_machine_enter(m, cpu);
}

static void late_step(void)
{
	struct vgic_machine *m = &late.machine;
	u32 cpu = late_pick(late.cpu_count);

	switch (late_pick(10)) {
	case 0:
	case 1:
	case 2:
		late_ack(cpu);
		break;
	case 3:
	case 4:
		late_handle(cpu);
		break;
	case 5:
		late_raise();
		break;
	case 6:
		m->cpus[cpu].timer_high = true;
		vgic_machine_timers(m);
		break;
	case 7:
		late_change(cpu);
		break;
	default:
		if (!vgic_machine_called(m, cpu) && late_pick(2))
			break;
		vgic_machine_leave(m, cpu);
		vgic_machine_enter(m, cpu);
		break;
	}
}

/* The guests go on until nothing is left to do. */
static void late_drain(void)
{
	struct vgic_machine *m = &late.machine;
	u64 before;

	for (u32 intid = EDGE_FIRST; intid < LEVEL_END; intid++)
		vgic_irq_write(m, 0, 0x100, 1, intid, 1, false);
	do {
		before = late.acks;
		for (u32 cpu = 0; cpu < late.cpu_count; cpu++) {
			while (late.guests[cpu].depth)
				late_handle(cpu);
			vgic_machine_settle(m);
			late_ack(cpu);
		}
		vgic_machine_settle(m);
	} while (late.acks != before);
	for (u32 cpu = 0; cpu < late.cpu_count; cpu++) {
		assert_false(m->cpus[cpu].timer_high || m->cpus[cpu].timer_active);
		for (u32 intid = 0; intid < LEVEL_END; intid++)
			assert_false(late.irqs[cpu][intid].owed || late.irqs[cpu][intid].high);
	}
}

static void run_late(enum vgic_version version, u32 cpu_count, u32 lr_count, u32 round)
{
	struct vgic_machine *m = &late.machine;

	memset(&late, 0, sizeof(late));
	late.seed = round;
	late.cpu_count = cpu_count;
	vgic_machine_init(m, version, cpu_count, lr_count, true);
	vgic_dist_write(m, 0, 0, 4, 3);
	for (u32 cpu = 0; cpu < cpu_count; cpu++) {
		struct vgic_cpu_if *cpu_if = vgic_cpu_if(m->gic, cpu);

		cpu_if->pmr = 0xf8;
		cpu_if->group0 = 1;
		cpu_if->group1 = 1;
		cpu_if->eoimode = round & 1;
		for (u32 intid = 0; intid < LEVEL_END; intid++) {
			vgic_irq_write(m, cpu, 0x100, 1, intid, 1, false);
			vgic_irq_write(m, cpu, 0x400, 8, intid, 8 * late_pick(30), true);
			vgic_irq_write(m, cpu, 0x080, 1, intid, late_pick(2), true);
		}
	}
	for (u32 intid = EDGE_FIRST; intid < LEVEL_END; intid++) {
		vgic_irq_write(m, 0, 0xc00, 2, intid, intid < EDGE_END ? 2 : 0, true);
		late_route(0, intid);
	}
	for (u32 cpu = 0; cpu < cpu_count; cpu++)
		vgic_machine_enter(m, cpu);
	for (u32 i = 0; i < 40; i++) {
		for (u32 k = 0; k < 200; k++)
			late_step();
		late_drain();
	}
	assert_true(late.acks > 1000);
}

static void test_late_owner(void **state)
{
	(void)state;
	for (u32 round = 0; round < 24; round++)
		run_late(round & 2 ? VGIC_V3 : VGIC_V2, 1 + round % 4, 2 + round % 5, round);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_model_v2),
		cmocka_unit_test(test_model_v3),
		cmocka_unit_test(test_late_owner),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
