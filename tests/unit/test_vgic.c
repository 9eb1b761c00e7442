/* SPDX-License-Identifier: MIT */
/* What the virtual GIC does with interrupts. */
#include "vgic_scene.h"

/* ---- one interrupt ---- */

static void test_edge(void **state)
{
	(void)state;
	for (u32 version = VGIC_V2; version <= VGIC_V3; version++) {
		struct irq_line line;

		start(version);
		line = line_on(40, true, 0x80);
		vgic_machine_enter(&m, 0);
		irq_pulse(&line);
		assert_true(vgic_machine_called(&m, 0));
		vgic_machine_settle(&m);
		assert_false(lr_of(0, 40)->eoi_notify);
		assert_int_equal(ack(0), 40);
		/* Another while it is active: pends, and comes when this one has ended. */
		irq_set(&line, true);
		vgic_machine_settle(&m);
		assert_true(lr_of(0, 40)->active && lr_of(0, 40)->pending);
		assert_int_equal(ack(0), VGIC_SPURIOUS);
		vgic_machine_eoi(&m, 0, 40, 0);
		assert_int_equal(take(0), 40);
		/* High all the time is no further edge. */
		irq_set(&line, true);
		assert_int_equal(take(0), VGIC_SPURIOUS);
		irq_set(&line, false);
		assert_int_equal(take(0), VGIC_SPURIOUS);
		/* Several before one is taken are one. */
		irq_pulse(&line);
		irq_pulse(&line);
		assert_int_equal(take(0), 40);
		assert_int_equal(take(0), VGIC_SPURIOUS);
	}
}

static void test_level(void **state)
{
	(void)state;
	for (u32 version = VGIC_V2; version <= VGIC_V3; version++) {
		struct irq_line line;

		start(version);
		line = line_on(40, false, 0x80);
		vgic_machine_enter(&m, 0);
		irq_set(&line, true);
		vgic_machine_settle(&m);
		assert_true(lr_of(0, 40)->eoi_notify);
		/* Down before it was taken: no more. */
		irq_set(&line, false);
		assert_true(vgic_machine_called(&m, 0));
		assert_int_equal(take(0), VGIC_SPURIOUS);

		/* Still high at the end: again. Never active and pending, as it may fall. */
		irq_set(&line, true);
		vgic_machine_settle(&m);
		assert_int_equal(ack(0), 40);
		exit_guest(0);
		assert_true(lr_of(0, 40)->active && !lr_of(0, 40)->pending);
		assert_int_equal(get(0, SET_PEND, 40), 1);
		assert_int_equal(get(0, SET_ACTIVE, 40), 1);
		vgic_machine_eoi(&m, 0, 40, 0);
		assert_true(vgic_machine_called(&m, 0));
		vgic_machine_settle(&m);
		assert_int_equal(ack(0), 40);
		irq_set(&line, false);
		vgic_machine_eoi(&m, 0, 40, 0);
		assert_int_equal(take(0), VGIC_SPURIOUS);

		/* Written by the guest, it pends without the line, once. */
		set(0, SET_PEND, 40);
		assert_int_equal(get(0, SET_PEND, 40), 1);
		irq_set(&line, true);
		irq_set(&line, false);
		assert_int_equal(take(0), 40);
		assert_int_equal(take(0), VGIC_SPURIOUS);
		/* And what the line says can't be cleared. */
		irq_set(&line, true);
		set(0, CLEAR_PEND, 40);
		assert_int_equal(get(0, CLEAR_PEND, 40), 1);
		set(0, SET_PEND, 40);
		set(0, CLEAR_PEND, 40);
		irq_set(&line, false);
		assert_int_equal(get(0, CLEAR_PEND, 40), 0);
	}
}

/* What is written while an interrupt is in list registers counts for more than they do. */
static void test_written_while_given(void **state)
{
	struct irq_line line;

	(void)state;
	start(VGIC_V3);
	line = line_on(40, true, 0x80);
	vgic_machine_enter(&m, 0);
	vgic_machine_enter(&m, 1);

	/* Cleared before it was taken. */
	irq_pulse(&line);
	vgic_machine_settle(&m);
	set(1, CLEAR_PEND, 40);
	assert_true(vgic_machine_called(&m, 0));
	assert_int_equal(take(0), VGIC_SPURIOUS);

	/* Raised again when it may have been taken already: the second is not lost. */
	irq_pulse(&line);
	vgic_machine_settle(&m);
	assert_int_equal(ack(0), 40);
	irq_pulse(&line);
	vgic_machine_eoi(&m, 0, 40, 0);
	assert_int_equal(take(0), 40);

	/* Disabled: it goes back, and pends. */
	irq_pulse(&line);
	vgic_machine_settle(&m);
	set(1, DISABLE, 40);
	assert_true(vgic_machine_called(&m, 0));
	assert_int_equal(take(0), VGIC_SPURIOUS);
	assert_int_equal(get(0, SET_PEND, 40), 1);
	set(1, SET_ENABLE, 40);
	assert_int_equal(take(0), 40);

	/* Disabled while active: it can be ended. */
	irq_pulse(&line);
	vgic_machine_settle(&m);
	assert_int_equal(ack(0), 40);
	set(1, DISABLE, 40);
	vgic_machine_settle(&m);
	vgic_machine_eoi(&m, 0, 40, 0);
	exit_guest(0);
	assert_int_equal(get(0, SET_ACTIVE, 40), 0);
	set(0, SET_ENABLE, 40);

	/* Made inactive, and active, from outside. */
	irq_pulse(&line);
	vgic_machine_settle(&m);
	assert_int_equal(ack(0), 40);
	set(1, DEACTIVATE, 40);
	assert_true(vgic_machine_called(&m, 0));
	vgic_machine_settle(&m);
	assert_null(lr_of(0, 40));
	assert_int_equal(get(0, SET_ACTIVE, 40), 0);
	vgic_cpu_if(m.gic, 0)->ap0r[0] = 0;
	irq_pulse(&line);
	vgic_machine_settle(&m);
	set(1, SET_ACTIVE, 40);
	assert_int_equal(take(0), VGIC_SPURIOUS);
	assert_true(lr_of(0, 40)->active && lr_of(0, 40)->pending);
	set(1, DEACTIVATE, 40);
	assert_int_equal(take(0), 40);

	/* Another priority, another group. */
	irq_pulse(&line);
	vgic_machine_settle(&m);
	put(1, PRIORITY, 40, 0x10);
	put(1, GROUP, 40, 1);
	vgic_machine_settle(&m);
	assert_int_equal(lr_of(0, 40)->priority, 0x10);
	assert_true(lr_of(0, 40)->group1);
}

/* What is read of an interrupt includes what the list registers of another CPU know. */
static void test_read_elsewhere(void **state)
{
	static const enum vgic_version versions[] = {VGIC_V2, VGIC_V3};
	struct irq_line line;
	u32 before;

	(void)state;
	for (u32 i = 0; i < ARRAY_COUNT(versions); i++) {
		start(versions[i]);
		m.folds = true;
		line = line_on(40, true, 0x80);
		vgic_machine_enter(&m, 0);
		vgic_machine_enter(&m, 1);
		irq_pulse(&line);
		vgic_machine_settle(&m);
		assert_int_equal(get(1, SET_PEND, 40), 1);
		assert_int_equal(ack(0), 40);
		assert_int_equal(get(1, SET_ACTIVE, 40), 1);
		assert_int_equal(get(1, CLEAR_PEND, 40), 0);
		/* Of others, and of what no list register changes, nobody is asked. */
		before = m.cpus[0].folds;
		(void)get(1, SET_ACTIVE, 70);
		(void)get(1, SET_ENABLE, 40);
		set(1, SET_PEND, 41);
		assert_int_equal(m.cpus[0].folds, before);
		vgic_machine_eoi(&m, 0, 40, 0);
		assert_int_equal(get(1, DEACTIVATE, 40), 0);
	}
	/* Of a private one, in the redistributor of the other. */
	m.folds = true;
	line = line_on(20, true, 0x80);
	vgic_machine_settle(&m);
	irq_pulse(&line);
	vgic_machine_settle(&m);
	assert_int_equal(ack(0), 20);
	assert_int_equal(vgic_redist_read(&m, 1, 0x10300, 4), 1 << 20);
	before = m.cpus[0].folds;
	(void)vgic_redist_read(&m, 1, VGIC_REDIST_SIZE + 0x10300, 4);
	assert_int_equal(m.cpus[0].folds, before);
}

/* Switched off and on again, a CPU has nothing left of its interface. */
static void test_reset_cpu_if(void **state)
{
	struct vgic_cpu_if fresh;

	(void)state;
	start(VGIC_V3);
	vgic_reset(m.gic);
	fresh = *vgic_cpu_if(m.gic, 1);
	memset(vgic_cpu_if(m.gic, 1), 1, sizeof(fresh));
	vgic_reset_cpu_if(m.gic, 1);
	assert_memory_equal(vgic_cpu_if(m.gic, 1), &fresh, sizeof(fresh));
}

/* Folding looks at what was given to this CPU, and at nothing else. */
static void test_fold_passes_over(void **state)
{
	struct vgic_lr lrs[2] = {{.intid = 40, .active = true}, {.intid = 1000, .active = true}};
	struct vgic_lr given[4];
	struct irq_line line;
	bool more;

	(void)state;
	start(VGIC_V3);
	line = line_on(40, true, 0x80);
	irq_pulse(&line);
	vgic_fold(m.gic, 0, lrs, 2);
	assert_int_equal(get(0, SET_ACTIVE, 40), 0);
	assert_int_equal(vgic_fill(m.gic, 0, given, 4, &more), 1);
	assert_false(more);
	vgic_fold(m.gic, 1, lrs, 2);
	assert_int_equal(get(0, SET_ACTIVE, 40), 0);
	vgic_fold(m.gic, 0, lrs, 2);
	assert_int_equal(get(0, SET_ACTIVE, 40), 1);
	assert_int_equal(vgic_fill(m.gic, 0, given, 0, &more), 0);
	assert_int_equal(vgic_fill(m.gic, 2, given, 4, &more), 0);
	vgic_deactivate(m.gic, 0, 1023);
	vgic_deactivate(m.gic, 1, 40);
	assert_int_equal(get(0, SET_ACTIVE, 40), 0);
}

/* ---- several ---- */

static void test_order(void **state)
{
	static const u32 priorities[] = {0x80, 0x20, 0x60, 0x20, 0x40, 0xa0, 0x00};
	static const u32 expected[] = {38, 33, 35, 36, 34, 32, 37};
	u32 source;

	(void)state;
	start(VGIC_V3);
	for (u32 i = 0; i < ARRAY_COUNT(priorities); i++) {
		struct irq_line line = line_on(32 + i, true, priorities[i]);

		irq_pulse(&line);
	}
	vgic_machine_enter(&m, 0);
	assert_true(m.cpus[0].more);
	for (u32 i = 0; i < 4; i++)
		assert_int_equal(m.cpus[0].lrs[i].intid, expected[i]);
	for (u32 i = 0; i < ARRAY_COUNT(expected); i++) {
		assert_int_equal(vgic_machine_ack(&m, 0, &source), expected[i]);
		vgic_machine_eoi(&m, 0, expected[i], 0);
		vgic_machine_settle(&m);
	}
	assert_false(m.cpus[0].more);
	assert_int_equal(ack(0), VGIC_SPURIOUS);

	/* More urgent ones put those out that wait, and one that has become more urgent itself. */
	start_lrs(VGIC_V3, 2);
	for (u32 i = 0; i < 4; i++) {
		struct irq_line line = line_on(32 + i, true, 0x80 - 8 * i);

		vgic_machine_settle(&m);
		irq_pulse(&line);
		if (!i)
			vgic_machine_enter(&m, 0);
	}
	vgic_machine_settle(&m);
	assert_non_null(lr_of(0, 35));
	assert_non_null(lr_of(0, 34));
	put(0, PRIORITY, 32, 0);
	vgic_machine_settle(&m);
	assert_non_null(lr_of(0, 32));
	assert_null(lr_of(0, 34));

	/* Of a group that the CPU interface does not hear only if there is room. */
	put(0, GROUP, 32, 1);
	vgic_cpu_if(m.gic, 0)->group1 = 0;
	vgic_machine_settle(&m);
	assert_null(lr_of(0, 32));
	assert_int_equal(ack(0), 35);
	vgic_machine_eoi(&m, 0, 35, 0);
	exit_guest(0);
	assert_int_equal(ack(0), 34);
	vgic_machine_eoi(&m, 0, 34, 0);
	exit_guest(0);
	assert_non_null(lr_of(0, 32));
}

/* More are active than there are list registers. */
static void test_more_active(void **state)
{
	(void)state;
	for (u32 eoimode = 0; eoimode < 2; eoimode++) {
		struct irq_line lines[6];

		start_lrs(VGIC_V3, 2);
		vgic_cpu_if(m.gic, 0)->eoimode = (u8)eoimode;
		vgic_machine_enter(&m, 0);
		for (u32 i = 0; i < 6; i++) {
			lines[i] = line_on(32 + i, true, 0xa0 - 0x10 * i);
			irq_pulse(&lines[i]);
			vgic_machine_settle(&m);
			assert_int_equal(ack(0), 32 + i);
			exit_guest(0);
		}
		assert_int_equal(m.cpus[0].count, 2);
		if (!eoimode) {
			/* From the inside out; those that are missing come back in time. */
			for (u32 i = 6; i-- > 0;) {
				vgic_machine_eoi(&m, 0, 32 + i, 0);
				if (i & 1)
					vgic_machine_settle(&m);
			}
			exit_guest(0);
			assert_int_equal(m.cpus[0].count, 0);
		} else {
			/* Their priorities dropped, they leave room for the least urgent. */
			for (u32 i = 6; i-- > 0;)
				vgic_machine_eoi(&m, 0, 32 + i, 0);
			lines[0] = line_on(50, true, 0xf0);
			irq_pulse(&lines[0]);
			vgic_machine_settle(&m);
			assert_false(m.cpus[0].more);
			assert_int_equal(ack(0), 50);
			vgic_machine_eoi(&m, 0, 50, 0);
			vgic_machine_dir(&m, 0, 50);
			for (u32 i = 0; i < 6; i++)
				vgic_machine_dir(&m, 0, 32 + i);
			assert_int_equal(m.cpus[0].count, 0);
		}
		for (u32 i = 0; i < 6; i++)
			assert_int_equal(get(0, SET_ACTIVE, 32 + i), 0);
	}

	/* An end too many does nothing; of those without a register, the most urgent has ended. */
	start_lrs(VGIC_V3, 2);
	for (u32 i = 0; i < 4; i++) {
		(void)line_on(32 + i, true, 8 * i);
		set(0, SET_ACTIVE, 32 + i);
	}
	vgic_machine_enter(&m, 0);
	assert_true(lr_of(0, 32) && lr_of(0, 33));
	m.cpus[0].eoi_count = 1;
	exit_guest(0);
	assert_int_equal(vgic_dist_read(&m, 0, 0x304, 4), 0xb);
	m.cpus[0].eoi_count = 7;
	exit_guest(0);
	assert_int_equal(vgic_dist_read(&m, 0, 0x304, 4), 3);
}

static u32 folds, folded;

static void no_kick(void *ctx, u32 cpu)
{
	(void)ctx;
	(void)cpu;
}

static void note_fold(void *ctx, u32 cpu)
{
	(void)ctx;
	folds++;
	folded = cpu;
}

/* Who accesses registers of single interrupts is folded before, whosever they are. */
static void test_asks_to_fold(void **state)
{
	static const struct vgic_ops ops = {.kick = no_kick, .fold = note_fold};
	static struct vgic gic;
	const struct {
		io_handler handler;
		u64 offset;
		bool folds;
	} accesses[] = {
		{vgic_dist_io, 0x000, false},
		{vgic_dist_io, 0x004, false},
		{vgic_dist_io, 0x008, false},
		{vgic_dist_io, 0x010, false},
		{vgic_dist_io, 0x104, true},
		{vgic_dist_io, 0x204, true},
		{vgic_dist_io, 0x304, true},
		{vgic_dist_io, 0x420, true},
		{vgic_dist_io, 0xc08, true},
		{vgic_dist_io, 0x6100, true},
		/* Of private interrupts there are none here. */
		{vgic_dist_io, 0x200, false},
		{vgic_redist_io, 0x00014, false},
		{vgic_redist_io, 0x10200, true},
		{vgic_redist_io, VGIC_REDIST_SIZE + 0x10300, true},
	};

	(void)state;
	vgic_init(&gic, VGIC_V3, 2, &ops, NULL);
	vgic_reset(&gic);
	for (u32 cpu = 0; cpu < 2; cpu++)
		for (u32 i = 0; i < ARRAY_COUNT(accesses); i++)
			for (u32 is_write = 0; is_write < 2; is_write++) {
				struct io_access access = {.offset = accesses[i].offset,
							   .vcpu = cpu,
							   .size = 4,
							   .is_write = is_write};

				folds = 0;
				folded = 2;
				assert_int_equal(accesses[i].handler(&gic, &access), IO_DONE);
				assert_int_equal(folds, accesses[i].folds);
				assert_int_equal(folded, accesses[i].folds ? cpu : 2);
			}
}

/* ---- routes ---- */

static void test_route_v3(void **state)
{
	struct irq_line line;

	(void)state;
	start(VGIC_V3);
	line = line_on(70, true, 0);
	route(70, 2);
	irq_pulse(&line);
	assert_int_equal(take(0), VGIC_SPURIOUS);
	assert_int_equal(take(2), 70);

	/* To nobody: pends. Any affinity but that of a CPU is nobody. */
	route(70, CPUS);
	assert_false(irq_enabled(&line));
	irq_pulse(&line);
	route(70, 0x100);
	route(70, 0x010000);
	for (u32 i = 0; i < CPUS; i++)
		assert_int_equal(take(i), VGIC_SPURIOUS);
	assert_int_equal(get(0, SET_PEND, 70), 1);
	route(70, 1);
	assert_int_equal(take(0), VGIC_SPURIOUS);
	assert_int_equal(take(1), 70);

	/* Moved while it is in list registers: the other gets it when it has come back. */
	irq_pulse(&line);
	vgic_machine_settle(&m);
	assert_non_null(lr_of(1, 70));
	route(70, 2);
	assert_true(vgic_machine_called(&m, 1));
	exit_guest(2);
	assert_null(lr_of(2, 70));
	m.cpus[2].kicked = false;
	vgic_machine_leave(&m, 1);
	assert_true(vgic_machine_called(&m, 2));
	vgic_machine_enter(&m, 1);
	assert_int_equal(take(2), 70);
	assert_int_equal(take(1), VGIC_SPURIOUS);

	/* Moved when it has been taken already: active where it was. */
	irq_pulse(&line);
	vgic_machine_settle(&m);
	assert_int_equal(ack(2), 70);
	route(70, 0);
	irq_pulse(&line);
	vgic_machine_settle(&m);
	assert_true(lr_of(2, 70)->active && !lr_of(2, 70)->pending);
	assert_int_equal(take(0), VGIC_SPURIOUS);
	vgic_machine_eoi(&m, 2, 70, 0);
	assert_true(vgic_machine_called(&m, 2));
	vgic_machine_settle(&m);
	assert_int_equal(take(2), VGIC_SPURIOUS);
	assert_int_equal(take(0), 70);

	/* Made active by the guest: there where it would have gone, when it has come back. */
	route(70, 1);
	irq_pulse(&line);
	vgic_machine_settle(&m);
	assert_non_null(lr_of(1, 70));
	route(70, 2);
	set(0, SET_ACTIVE, 70);
	exit_guest(2);
	assert_null(lr_of(2, 70));
	vgic_machine_settle(&m);
	assert_null(lr_of(1, 70));
	assert_true(lr_of(2, 70)->active && lr_of(2, 70)->pending);
	set(0, DEACTIVATE, 70);
	assert_int_equal(take(2), 70);
	for (u32 i = 0; i < 2; i++) {
		/* Somewhere, if it would go nowhere; and whether or not it is given out still. */
		route(70, CPUS);
		set(0, SET_ACTIVE, 70);
		vgic_machine_settle(&m);
		assert_true(lr_of(0, 70)->active);
		set(0, DEACTIVATE, 70);
		exit_guest(0);
		exit_guest(2);
	}

	/* One of N: the first that is awake. */
	route(70, BIT(31) | 2);
	irq_pulse(&line);
	assert_int_equal(take(2), VGIC_SPURIOUS);
	assert_int_equal(take(0), 70);
	vgic_redist_write(&m, 0, 0x14, 4, 2);
	assert_int_equal(vgic_redist_read(&m, 0, 0x14, 4), 6);
	irq_pulse(&line);
	assert_int_equal(take(0), VGIC_SPURIOUS);
	assert_int_equal(take(1), 70);
	assert_true(irq_enabled(&line));

	/* One that sleeps is signalled nothing, but woken. ChildrenAsleep can't be written. */
	route(70, 0);
	irq_pulse(&line);
	assert_int_equal(take(0), VGIC_SPURIOUS);
	vgic_machine_leave(&m, 0);
	assert_true(vgic_pending(m.gic, 0));
	vgic_redist_write(&m, 0, 0x14, 4, 4);
	assert_int_equal(vgic_redist_read(&m, 0, 0x14, 4), 0);
	assert_int_equal(take(0), 70);
}

static void test_route_v2(void **state)
{
	struct irq_line line;

	(void)state;
	start(VGIC_V2);
	line = line_on(70, true, 0);
	route(70, 0);
	irq_pulse(&line);
	assert_false(irq_enabled(&line));
	for (u32 i = 0; i < CPUS; i++)
		assert_int_equal(take(i), VGIC_SPURIOUS);
	route(70, 6);
	assert_true(irq_enabled(&line));
	assert_int_equal(take(0), VGIC_SPURIOUS);
	assert_int_equal(take(1), 70);
	assert_int_equal(take(2), VGIC_SPURIOUS);
	/* Only CPUs that there are. */
	vgic_dist_write(&m, 0, 0x800 + 70, 1, 0xf8);
	assert_int_equal(vgic_dist_read(&m, 0, 0x800 + 70, 1), 0);
	assert_false(irq_enabled(&line));
}

/* ---- SGIs ---- */

static void test_sgi_v2(void **state)
{
	u32 source, count;

	(void)state;
	start(VGIC_V2);
	for (u32 i = 0; i < CPUS; i++) {
		set(i, SET_ENABLE, 5);
		vgic_machine_enter(&m, i);
	}
	/* From all to CPU 0: as many interrupts as senders. */
	for (u32 i = 0; i < CPUS; i++)
		vgic_dist_write(&m, i, 0xf00, 4, 1u << 16 | 5);
	vgic_dist_write(&m, 1, 0xf00, 4, 1u << 16 | 5);
	vgic_machine_settle(&m);
	assert_int_equal(get(0, 0xf10, 8, 5), 7);
	assert_true(lr_of(0, 5)->eoi_notify);
	for (u32 i = 0; i < CPUS; i++) {
		assert_int_equal(vgic_machine_ack(&m, 0, &source), 5);
		assert_int_equal(source, i);
		exit_guest(0);
		assert_int_equal(get(0, SET_PEND, 5), i < 2);
		vgic_machine_eoi(&m, 0, 5, source);
		vgic_machine_settle(&m);
	}
	assert_int_equal(ack(0), VGIC_SPURIOUS);

	/* All others; itself; a list; the filter that is reserved. */
	vgic_dist_write(&m, 1, 0xf00, 4, 1u << 24 | 5);
	assert_int_equal(take(0), 5);
	assert_int_equal(take(1), VGIC_SPURIOUS);
	assert_int_equal(take(2), 5);
	vgic_dist_write(&m, 1, 0xf00, 4, 2u << 24 | 7u << 16 | 5);
	assert_int_equal(take(0), VGIC_SPURIOUS);
	assert_int_equal(take(1), 5);
	vgic_dist_write(&m, 1, 0xf00, 4, 0xfcu << 16 | 5);
	assert_int_equal(take(2), 5);
	vgic_dist_write(&m, 1, 0xf00, 4, 3u << 24 | 7u << 16 | 5);
	for (u32 i = 0; i < CPUS; i++)
		assert_int_equal(take(i), VGIC_SPURIOUS);

	/* Sources one by one; ISPENDR and ICPENDR only show. */
	vgic_dist_write(&m, 2, 0xf20 + 5, 1, 0xff);
	assert_int_equal(get(2, 0xf20, 8, 5), 7);
	vgic_dist_write(&m, 2, 0xf10 + 4, 4, 0x0200);
	assert_int_equal(vgic_dist_read(&m, 2, 0xf10 + 5, 1), 5);
	vgic_dist_write(&m, 2, 0x280, 4, 0xffff);
	assert_int_equal(vgic_dist_read(&m, 2, 0x200, 4), 1u << 5);
	assert_int_equal(take_all(2, &count), 5);
	assert_int_equal(count, 2);
	exit_guest(2);
	vgic_dist_write(&m, 2, 0x200, 4, 0xffff);
	assert_int_equal(vgic_dist_read(&m, 2, 0x200, 4), 0);

	/* Sent again by the same, and by another, while the first is being taken. */
	vgic_dist_write(&m, 1, 0xf00, 4, 1u << 16 | 5);
	vgic_machine_settle(&m);
	assert_int_equal(ack(0), 5);
	vgic_dist_write(&m, 1, 0xf00, 4, 1u << 16 | 5);
	vgic_dist_write(&m, 2, 0xf00, 4, 1u << 16 | 5);
	exit_guest(0);
	assert_int_equal(get(0, 0xf10, 8, 5), 6);
	assert_true(lr_of(0, 5)->active && !lr_of(0, 5)->pending && lr_of(0, 5)->eoi_notify);
	assert_int_equal(lr_of(0, 5)->source, 1);
	vgic_machine_eoi(&m, 0, 5, 1);
	assert_int_equal(take_all(0, &count), 5);
	assert_int_equal(count, 2);
	/* Taken back in time. */
	vgic_dist_write(&m, 1, 0xf00, 4, 1u << 16 | 5);
	vgic_machine_settle(&m);
	vgic_dist_write(&m, 0, 0xf10 + 5, 1, 2);
	assert_int_equal(take(0), VGIC_SPURIOUS);
}

static u64 sgi1r(u64 affinity, u32 intid, u32 targets)
{
	return (affinity >> 32 & 0xff) << 48 | (affinity >> 16 & 0xff) << 32 | (u64)intid << 24 |
	       (affinity & 0xff00) << 8 | targets;
}

static void test_sgi_v3(void **state)
{
	(void)state;
	start(VGIC_V3);
	for (u32 i = 0; i < CPUS; i++) {
		set(i, SET_ENABLE, 15);
		put(i, GROUP, 15, i == 1);
		vgic_machine_enter(&m, i);
	}
	vgic_send_sgi1(m.gic, 0, sgi1r(0, 15, 0xffff));
	for (u32 i = 0; i < CPUS; i++)
		assert_int_equal(take(i), 15);
	vgic_send_sgi1(m.gic, 0, sgi1r(0, 15, 4));
	assert_int_equal(take(0), VGIC_SPURIOUS);
	assert_int_equal(take(1), VGIC_SPURIOUS);
	assert_int_equal(take(2), 15);
	/* To all but itself. */
	vgic_send_sgi1(m.gic, 1, BIT(40) | 15u << 24);
	assert_int_equal(take(0), 15);
	assert_int_equal(take(1), VGIC_SPURIOUS);
	assert_int_equal(take(2), 15);
	/* To other clusters. */
	vgic_send_sgi1(m.gic, 0, sgi1r(0x100, 15, 0xffff));
	vgic_send_sgi1(m.gic, 0, sgi1r(0x10000, 15, 0xffff));
	vgic_send_sgi1(m.gic, 0, sgi1r(BIT(32), 15, 0xffff));
	for (u32 i = 0; i < CPUS; i++)
		assert_int_equal(take(i), VGIC_SPURIOUS);
	/* The other two registers reach Group 0 alone. */
	vgic_send_sgi0(m.gic, 0, sgi1r(0, 15, 7));
	assert_int_equal(take(0), 15);
	assert_int_equal(take(1), VGIC_SPURIOUS);
	assert_int_equal(take(2), 15);
	/* Pending can be written; the configuration can't. */
	vgic_redist_write(&m, 0, 0x10200, 4, 1u << 15);
	assert_int_equal(take(0), 15);
	put(0, CONFIG, 15, 0);
	assert_int_equal(get(0, CONFIG, 15), 2);
}

/* ---- groups, masks ---- */

static void test_groups(void **state)
{
	struct irq_line zero, one;

	(void)state;
	start(VGIC_V3);
	zero = line_on(40, true, 0x80);
	one = line_on(41, true, 0x80);
	put(0, GROUP, 41, 1);
	vgic_machine_enter(&m, 0);
	for (u32 ctlr = 0; ctlr < 4; ctlr++) {
		vgic_dist_write(&m, 0, 0, 4, ctlr);
		assert_int_equal(irq_enabled(&zero), ctlr & 1);
		assert_int_equal(irq_enabled(&one), ctlr >> 1);
		irq_pulse(&zero);
		irq_pulse(&one);
		vgic_machine_settle(&m);
		assert_int_equal(lr_of(0, 40) != NULL, ctlr & 1);
		assert_int_equal(lr_of(0, 41) != NULL, ctlr >> 1);
		set(0, CLEAR_PEND, 40);
		set(0, CLEAR_PEND, 41);
		vgic_machine_settle(&m);
	}
}

static void test_pending(void **state)
{
	struct vgic_cpu_if *cpu_if;
	struct irq_line line;

	(void)state;
	start(VGIC_V3);
	line = line_on(40, true, 0x80);
	put(0, GROUP, 40, 1);
	cpu_if = vgic_cpu_if(m.gic, 0);
	assert_false(vgic_pending(m.gic, 0));
	irq_pulse(&line);
	assert_true(vgic_pending(m.gic, 0));
	assert_false(vgic_pending(m.gic, 1));
	cpu_if->pmr = 0x80;
	assert_false(vgic_pending(m.gic, 0));
	cpu_if->pmr = 0x88;
	assert_true(vgic_pending(m.gic, 0));
	cpu_if->group1 = 0;
	assert_false(vgic_pending(m.gic, 0));
	cpu_if->group1 = 1;

	/* What is active: of either group, less urgent, as urgent, more urgent. */
	cpu_if->ap0r[0] = 1u << (0x88 / 8);
	assert_true(vgic_pending(m.gic, 0));
	cpu_if->ap1r[0] = 1u << (0x80 / 8);
	assert_false(vgic_pending(m.gic, 0));
	cpu_if->ap0r[0] = 0;
	cpu_if->ap1r[0] = 1u << (0x90 / 8);
	assert_true(vgic_pending(m.gic, 0));
	/* Which bits of the priority count: bits 7:b of Group 1, bits 7:b+1 of Group 0. */
	cpu_if->bpr1 = 4;
	assert_true(vgic_pending(m.gic, 0));
	cpu_if->bpr1 = 5;
	assert_false(vgic_pending(m.gic, 0));
	cpu_if->cbpr = 1;
	cpu_if->bpr0 = 3;
	assert_true(vgic_pending(m.gic, 0));
	cpu_if->bpr0 = 4;
	assert_false(vgic_pending(m.gic, 0));
	cpu_if->cbpr = 0;
	put(0, GROUP, 40, 0);
	assert_false(vgic_pending(m.gic, 0));
	cpu_if->bpr0 = 3;
	assert_true(vgic_pending(m.gic, 0));
	/* The highest binary point allows no preemption, but what is idle is no matter of it. */
	cpu_if->bpr0 = 7;
	assert_false(vgic_pending(m.gic, 0));
	cpu_if->ap1r[0] = 0;
	assert_true(vgic_pending(m.gic, 0));

	/* What is active or disabled wakes nobody. */
	set(0, SET_ACTIVE, 40);
	assert_false(vgic_pending(m.gic, 0));
	set(0, DEACTIVATE, 40);
	set(0, DISABLE, 40);
	assert_false(vgic_pending(m.gic, 0));
}

/* ---- lines ---- */

static u32 told;
static bool told_enabled;
static struct irq_line told_line;

/* Answers with an interrupt, as VMGenID does. */
static void on_watch(void *ctx)
{
	assert_ptr_equal(ctx, &told);
	told++;
	told_enabled = irq_enabled(&told_line);
	if (told_enabled)
		irq_pulse(&told_line);
}

static void watch(u32 number)
{
	told_line = number < VGIC_SPI_BASE ? vgic_private_line(m.gic, 1, number)
					   : vgic_line(m.gic, number);
	assert_int_equal(told_line.number, number);
	irq_watch(&told_line, on_watch, &told);
	told = 0;
	told_enabled = false;
}

static void test_enabled(void **state)
{
	(void)state;
	start(VGIC_V3);
	watch(95);
	assert_false(irq_enabled(&told_line));
	put(0, CONFIG, 95, 2);
	assert_int_equal(told, 0);
	set(0, SET_ENABLE, 95);
	assert_int_equal(told, 1);
	assert_true(told_enabled);
	assert_int_equal(take(0), 95);
	set(0, SET_ENABLE, 95);
	set(0, SET_ENABLE, 94);
	put(0, GROUP, 95, 1);
	put(0, PRIORITY, 95, 0x80);
	assert_int_equal(told, 1);
	vgic_dist_write(&m, 0, 0, 4, 1);
	assert_int_equal(told, 2);
	assert_false(told_enabled);
	put(0, GROUP, 95, 0);
	assert_int_equal(told, 3);
	route(95, 7);
	assert_int_equal(told, 4);
	assert_false(told_enabled);
	route(95, BIT(31));
	assert_int_equal(told, 5);
	vgic_redist_write(&m, 0, 0x14, 4, 2);
	assert_int_equal(told, 5);
	set(0, DISABLE, 95);
	assert_int_equal(told, 6);
	set(0, SET_ENABLE, 95);
	assert_int_equal(told, 7);
	vgic_reset(m.gic);
	assert_int_equal(told, 8);
	assert_false(told_enabled);

	start(VGIC_V2);
	watch(95);
	set(0, SET_ENABLE, 95);
	assert_int_equal(told, 0);
	route(95, 4);
	assert_int_equal(told, 1);
	route(95, 3);
	assert_int_equal(told, 1);
	route(95, 0);
	assert_int_equal(told, 2);

	/* A private one. */
	watch(20);
	set(0, SET_ENABLE, 20);
	assert_int_equal(told, 0);
	set(1, SET_ENABLE, 20);
	assert_int_equal(told, 1);
	vgic_dist_write(&m, 0, 0, 4, 0);
	assert_int_equal(told, 2);

	/* No such interrupt. */
	assert_null(vgic_line(m.gic, 31).chip);
	assert_null(vgic_line(m.gic, 96).chip);
	assert_null(vgic_private_line(m.gic, 0, 15).chip);
	assert_null(vgic_private_line(m.gic, 0, 32).chip);
	assert_null(vgic_private_line(m.gic, CPUS, 20).chip);
}

static void timer(u32 cpu, bool high)
{
	m.cpus[cpu].timer_high = high;
	vgic_machine_settle(&m);
}

static void test_hw(void **state)
{
	struct vgic_hw_cpu *hw = &m.cpus[0];
	struct irq_line line;

	(void)state;
	start(VGIC_V3);
	line = line_on(VGIC_PPI_VTIMER, false, 0x40);
	vgic_machine_enter(&m, 0);
	timer(0, true);
	assert_true(hw->timer_active);
	assert_int_equal(lr_of(0, VGIC_PPI_VTIMER)->hw_intid, VGIC_HW_TIMER);
	assert_false(lr_of(0, VGIC_PPI_VTIMER)->eoi_notify);
	assert_int_equal(ack(0), VGIC_PPI_VTIMER);
	/* The guest sets the timer anew and ends its interrupt: nobody has to know. */
	timer(0, false);
	vgic_machine_eoi(&m, 0, VGIC_PPI_VTIMER, 0);
	assert_false(hw->timer_active);
	assert_false(vgic_machine_called(&m, 0));
	exit_guest(0);
	assert_int_equal(get(0, SET_PEND, VGIC_PPI_VTIMER), 0);
	assert_int_equal(ack(0), VGIC_SPURIOUS);

	/* Not silenced: the physical one fires again, before or after the fold. */
	timer(0, true);
	assert_int_equal(ack(0), VGIC_PPI_VTIMER);
	vgic_machine_eoi(&m, 0, VGIC_PPI_VTIMER, 0);
	timer(0, true);
	assert_true(hw->timer_active);
	assert_int_equal(ack(0), VGIC_PPI_VTIMER);
	vgic_machine_eoi(&m, 0, VGIC_PPI_VTIMER, 0);
	vgic_machine_leave(&m, 0);
	timer(0, true);
	vgic_machine_enter(&m, 0);
	assert_int_equal(ack(0), VGIC_PPI_VTIMER);
	timer(0, false);

	/* Never active and pending, and never notified. */
	set(0, SET_PEND, VGIC_PPI_VTIMER);
	vgic_machine_settle(&m);
	assert_true(lr_of(0, VGIC_PPI_VTIMER)->active && !lr_of(0, VGIC_PPI_VTIMER)->pending);
	set(0, CLEAR_PEND, VGIC_PPI_VTIMER);

	/* Ended by a register, given out or not. */
	set(0, DEACTIVATE, VGIC_PPI_VTIMER);
	assert_true(hw->timer_active);
	vgic_machine_settle(&m);
	assert_false(hw->timer_active);
	vgic_cpu_if(m.gic, 0)->ap0r[0] = 0;
	timer(0, true);
	assert_int_equal(ack(0), VGIC_PPI_VTIMER);
	vgic_machine_leave(&m, 0);
	set(0, DEACTIVATE, VGIC_PPI_VTIMER);
	assert_false(hw->timer_active);
	vgic_cpu_if(m.gic, 0)->ap0r[0] = 0;
	/* Not taken: the line stays until who set it takes it back. */
	timer(0, true);
	vgic_machine_enter(&m, 0);
	exit_guest(0);
	assert_non_null(lr_of(0, VGIC_PPI_VTIMER));
	timer(0, false);
	irq_set(&line, false);
	hw->timer_active = false;
	assert_int_equal(take(0), VGIC_SPURIOUS);

	/* Made active by the guest: the physical one that comes then is not that one's. */
	set(0, SET_ACTIVE, VGIC_PPI_VTIMER);
	timer(0, true);
	assert_true(lr_of(0, VGIC_PPI_VTIMER)->active);
	assert_int_equal(lr_of(0, VGIC_PPI_VTIMER)->hw_intid, 0);
	assert_true(lr_of(0, VGIC_PPI_VTIMER)->eoi_notify);
	set(0, DEACTIVATE, VGIC_PPI_VTIMER);
	exit_guest(0);
	assert_true(hw->timer_active);
	vgic_machine_leave(&m, 0);
	set(0, SET_ACTIVE, VGIC_PPI_VTIMER);
	set(0, DEACTIVATE, VGIC_PPI_VTIMER);
	assert_true(hw->timer_active);
	vgic_machine_enter(&m, 0);
	assert_int_equal(ack(0), VGIC_PPI_VTIMER);
	timer(0, false);
	vgic_machine_eoi(&m, 0, VGIC_PPI_VTIMER, 0);
	assert_false(hw->timer_active);
	exit_guest(0);

	/* Ended by ICC_DIR_EL1. */
	vgic_cpu_if(m.gic, 0)->eoimode = 1;
	timer(0, true);
	assert_int_equal(ack(0), VGIC_PPI_VTIMER);
	timer(0, false);
	vgic_machine_eoi(&m, 0, VGIC_PPI_VTIMER, 0);
	vgic_machine_dir(&m, 0, VGIC_PPI_VTIMER);
	assert_false(hw->timer_active);

	/* No longer a physical one. */
	vgic_set_hw(m.gic, VGIC_PPI_VTIMER, 0);
	irq_set(&line, true);
	vgic_machine_settle(&m);
	assert_int_equal(lr_of(0, VGIC_PPI_VTIMER)->hw_intid, 0);
	assert_true(lr_of(0, VGIC_PPI_VTIMER)->eoi_notify);
}

/* ---- state ---- */

static void test_reset(void **state)
{
	u8 fresh[VGIC_SAVED_MAX], saved[VGIC_SAVED_MAX];
	struct irq_line line;

	(void)state;
	start(VGIC_V2);
	vgic_reset(m.gic);
	vgic_machine_save(&m, fresh);
	line = line_on(40, false, 0x80);
	vgic_dist_write(&m, 0, 0, 4, 3);
	irq_set(&line, true);
	vgic_machine_enter(&m, 0);
	vgic_dist_write(&m, 1, 0xf00, 4, 7u << 16 | 5);
	vgic_reset(m.gic);
	irq_set(&line, false);
	vgic_machine_save(&m, saved);
	assert_memory_equal(fresh, saved, vgic_machine_saved_size(&m));

	vgic_machine_leave(&m, 0);

	/* The line stays; what was given out is forgotten, and can be given out again. */
	start(VGIC_V2);
	line = line_on(40, false, 0x80);
	irq_set(&line, true);
	line = line_on(20, false, 0x90);
	irq_set(&line, true);
	vgic_machine_enter(&m, 0);
	assert_int_equal(ack(0), 40);
	vgic_reset(m.gic);
	vgic_machine_leave(&m, 0);
	assert_int_equal(get(0, SET_PEND, 40), 1);
	assert_int_equal(get(0, SET_ACTIVE, 40), 0);
	(void)line_on(40, false, 0x80);
	(void)line_on(20, false, 0x90);
	vgic_dist_write(&m, 0, 0, 4, 3);
	vgic_machine_enter(&m, 0);
	assert_non_null(lr_of(0, 40));
	assert_non_null(lr_of(0, 20));
}

/* A snapshot in the middle of it is as if the interrupts in list registers were not there yet. */
static void test_save_while_given(void **state)
{
	u8 before[VGIC_SAVED_MAX], after[VGIC_SAVED_MAX];
	struct irq_line line;

	(void)state;
	start(VGIC_V3);
	line = line_on(40, true, 0x80);
	irq_pulse(&line);
	vgic_machine_save(&m, before);
	vgic_machine_enter(&m, 0);
	vgic_machine_save(&m, after);
	assert_memory_equal(before, after, vgic_machine_saved_size(&m));
	assert_null(vgic_machine_load(&m, after));
	/* Another GIC goes on: nothing was given out by it. */
	vgic_machine_leave(&m, 0);
	assert_int_equal(take(0), 40);
}

static void test_load_tells_nobody(void **state)
{
	static const u32 numbers[] = {95, 20};
	u8 saved[VGIC_SAVED_MAX];

	(void)state;
	for (u32 i = 0; i < ARRAY_COUNT(numbers); i++) {
		start(VGIC_V3);
		(void)line_on(numbers[i], true, 0);
		set(1, SET_ENABLE, numbers[i]);
		vgic_machine_save(&m, saved);
		m.gic = &m.gics[1];
		watch(numbers[i]);
		m.gic = &m.gics[0];
		assert_null(vgic_machine_load(&m, saved));
		assert_true(irq_enabled(&told_line));
		assert_int_equal(told, 0);
		set(1, DISABLE, numbers[i]);
		assert_int_equal(told, 1);
	}
}

static void dist_refused(void (*spoil)(struct vgic *gic), enum vgic_version version, u32 cpus)
{
	const char *why = NULL;

	vgic_machine_init(&m, version, cpus, 4, false);
	assert_int_equal(vgic_dist_state.check(m.gic, &why), HV_OK);
	spoil(m.gic);
	assert_int_equal(vgic_dist_state.check(m.gic, &why), HV_ECORRUPT);
	assert_non_null(why);
}

static void cpu_refused(void (*spoil)(struct vgic_cpu *cpu), enum vgic_version version)
{
	const char *why = NULL;

	vgic_machine_init(&m, version, CPUS, 4, false);
	assert_int_equal(vgic_cpu_state.check(&m.gic->cpus[1], &why), HV_OK);
	spoil(&m.gic->cpus[1]);
	assert_int_equal(vgic_cpu_state.check(&m.gic->cpus[1], &why), HV_ECORRUPT);
	assert_non_null(why);
}

#define DIST_SPOILERS(X)                                                                           \
	X(version, VGIC_V2, CPUS, gic->version = VGIC_V3)                                          \
	X(ctlr, VGIC_V3, CPUS, gic->ctlr = 4)                                                      \
	X(route_v3, VGIC_V3, CPUS, gic->route[63] = BIT(32))                                       \
	X(route_v3_mid, VGIC_V3, CPUS, gic->route[0] = BIT(24))                                    \
	X(route_v2, VGIC_V2, CPUS, gic->route[1] = 8)                                              \
	X(route_v2_one, VGIC_V2, 1, gic->route[1] = 1)                                             \
	X(holder, VGIC_V3, CPUS, (gic->spis[0].active = 1, gic->holder[0] = CPUS))                 \
	X(holder_inactive, VGIC_V3, CPUS, gic->holder[63] = 1)                                     \
	X(priority, VGIC_V3, CPUS, gic->spis[1].priority[31] = 0x81)

#define CPU_SPOILERS(X)                                                                            \
	X(priority, VGIC_V3, cpu->irqs.priority[0] = 4)                                            \
	X(sgi_config, VGIC_V3, cpu->irqs.edge = 0xfffe)                                            \
	X(sgi_level, VGIC_V3, cpu->irqs.level = 0x8000)                                            \
	X(sources_v3, VGIC_V3, (cpu->sgi_sources[0] = 1, cpu->irqs.latched = 1))                   \
	X(active_v3, VGIC_V3, (cpu->sgi_active[0] = 1, cpu->irqs.active = 1))                      \
	X(sources_v2, VGIC_V2, (cpu->sgi_sources[0] = 8, cpu->irqs.latched = 1))                   \
	X(sources_none, VGIC_V2, cpu->irqs.latched = 1)                                            \
	X(sources_not, VGIC_V2, cpu->sgi_sources[15] = 1)                                          \
	X(active_v2, VGIC_V2, (cpu->sgi_active[0] = CPUS, cpu->irqs.active = 1))                   \
	X(active_not, VGIC_V2, cpu->sgi_active[0] = 1)                                             \
	X(pmr, VGIC_V3, cpu->cpu_if.pmr = 0x100)                                                   \
	X(bpr0, VGIC_V3, cpu->cpu_if.bpr0 = 8)                                                     \
	X(bpr1, VGIC_V3, cpu->cpu_if.bpr1 = 8)                                                     \
	X(group0, VGIC_V3, cpu->cpu_if.group0 = 2)                                                 \
	X(ackctl, VGIC_V3, cpu->cpu_if.ackctl = 255)                                               \
	X(ap0r, VGIC_V3, cpu->cpu_if.ap0r[1] = 1)                                                  \
	X(ap1r, VGIC_V3, cpu->cpu_if.ap1r[3] = 1)                                                  \
	X(asleep_v3, VGIC_V3, cpu->asleep = 2)                                                     \
	X(asleep_v2, VGIC_V2, cpu->asleep = 1)

#define DIST_SPOILER(name, version, cpus, action)                                                  \
	static void spoil_dist_##name(struct vgic *gic)                                            \
	{                                                                                          \
		action;                                                                            \
	}
DIST_SPOILERS(DIST_SPOILER)

#define CPU_SPOILER(name, version, action)                                                         \
	static void spoil_cpu_##name(struct vgic_cpu *cpu)                                         \
	{                                                                                          \
		action;                                                                            \
	}
CPU_SPOILERS(CPU_SPOILER)

static void test_hostile_state(void **state)
{
	(void)state;
#define DIST_REFUSED(name, version, cpus, action) dist_refused(spoil_dist_##name, version, cpus);
#define CPU_REFUSED(name, version, action)        cpu_refused(spoil_cpu_##name, version);
	DIST_SPOILERS(DIST_REFUSED)
	CPU_SPOILERS(CPU_REFUSED)
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_edge),
		cmocka_unit_test(test_level),
		cmocka_unit_test(test_written_while_given),
		cmocka_unit_test(test_read_elsewhere),
		cmocka_unit_test(test_reset_cpu_if),
		cmocka_unit_test(test_fold_passes_over),
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_more_active),
		cmocka_unit_test(test_asks_to_fold),
		cmocka_unit_test(test_route_v3),
		cmocka_unit_test(test_route_v2),
		cmocka_unit_test(test_sgi_v2),
		cmocka_unit_test(test_sgi_v3),
		cmocka_unit_test(test_groups),
		cmocka_unit_test(test_pending),
		cmocka_unit_test(test_enabled),
		cmocka_unit_test(test_hw),
		cmocka_unit_test(test_reset),
		cmocka_unit_test(test_save_while_given),
		cmocka_unit_test(test_load_tells_nobody),
		cmocka_unit_test(test_hostile_state),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
