/* SPDX-License-Identifier: MIT */
/* Who runs when: VMs take turns, those that can't run cost nothing, idle is when none can. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <internal/sched.h>

#include "host_bare.h"

#define VMS        3
#define SLEEP_NS   ((u64)1000000) /* to the host's next interrupt */
#define NO_VM      VMS
#define FAR_AWAY   ((u64)10000000) /* ns */
#define NEARLY_DUE ((u64)50000)

static struct vm *vms[VMS];
static u32 idles;

u64 host_wall_clock(void)
{
	return 0;
}

void host_idle(const u32 *kicked)
{
	(void)kicked;
	idles++;
	fake_machine.counter += SLEEP_NS;
}

/* ---- the tests' VMs ---- */

static int setup(void **state)
{
	static const char *const names[VMS] = {"a", "b", "c"};

	(void)state;
	fake_machine = (struct fake_machine){.counter = 1000, .counter_hz = NS_PER_SEC};
	for (u32 i = 0; i < VMS; i++) {
		if (bare_vm(names[i], &vms[i]))
			return -1;
		vm_resume(vms[i]);
	}
	idles = 0;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	while (vm_first())
		vm_destroy(vm_first());
	return 0;
}

static void destroy(u32 i)
{
	vm_destroy(vms[i]);
	vms[i] = NULL;
}

/* Slices that VM @i has had. */
static u64 slices(u32 i)
{
	u64 count = 0;

	for (u32 reason = 0; vms[i] && reason < EXIT_REASON_COUNT; reason++)
		count += vms[i]->vcpus[0].exits[reason];
	return count;
}

/* Runs a slice; which VM had it, NO_VM if none. Each slice of these VMs has one exit. */
static u32 slice(void)
{
	u64 before[VMS];
	u32 ran = NO_VM;

	for (u32 i = 0; i < VMS; i++)
		before[i] = slices(i);
	sched_run_slice();
	for (u32 i = 0; i < VMS; i++) {
		if (slices(i) == before[i])
			continue;
		assert_int_equal(ran, NO_VM);
		assert_int_equal(slices(i), before[i] + 1);
		ran = i;
	}
	return ran;
}

/* The first slice decides with whom the turns begin. */
static u32 first_slice(void)
{
	u32 ran = slice();

	assert_int_not_equal(ran, NO_VM);
	return ran;
}

static void halt(u32 i)
{
	vms[i]->vcpus[0].state = VCPU_HALTED;
}

static void leave_only(u32 i)
{
	for (u32 other = 0; other < VMS; other++)
		if (other != i)
			halt(other);
}

/* ---- turns ---- */

static void test_turns(void **state)
{
	u32 last = first_slice();

	(void)state;
	for (u32 i = 0; i < 30; i++) {
		u32 next = slice();

		assert_int_equal(next, (last + 1) % VMS);
		last = next;
	}
	assert_int_equal(idles, 0);
}

/* Once, and then the one after it has its turn. */
static void test_somebody_waits_for_it(void **state)
{
	u32 last = first_slice();
	u32 before = (last + 2) % VMS;

	(void)state;
	sched_next(vms[last]);
	assert_int_equal(slice(), last);
	/* Of several the first, and the others by turns. */
	sched_next(vms[before]);
	sched_next(vms[(before + 2) % VMS]);
	assert_int_equal(slice(), before);
	assert_int_equal(slice(), (last + 1) % VMS);
	/* It can't: it is the turn of another. */
	halt(last);
	sched_next(vms[last]);
	assert_int_not_equal(slice(), last);
	sched_next(vms[before]);
	destroy(before);
	assert_int_not_equal(slice(), NO_VM);
	assert_int_equal(idles, 0);
}

static void test_who_cannot_run_costs_nothing(void **state)
{
	(void)state;
	vm_pause(vms[0]);
	halt(2);
	for (u32 i = 0; i < 10; i++)
		assert_int_equal(slice(), 1);
	vm_power_off(vms[1]);
	vm_resume(vms[0]);
	for (u32 i = 0; i < 10; i++)
		assert_int_equal(slice(), 0);
	/* An interrupt wakes the third, and they take turns. */
	vms[2]->vcpus[0].arch.has_irq = true;
	for (u32 i = 0; i < 10; i++) {
		assert_int_equal(slice(), 2);
		assert_int_equal(slice(), 0);
	}
	assert_int_equal(idles, 0);
}

static void test_failure_leaves_the_others(void **state)
{
	static const struct hv_exit script[] = {{.reason = EXIT_SHUTDOWN, .cause = "triple fault"}};
	u32 last = first_slice();
	u32 bad = (last + 1) % VMS, other = (last + 2) % VMS;

	(void)state;
	vms[bad]->vcpus[0].arch.script = script;
	vms[bad]->vcpus[0].arch.script_length = 1;
	assert_int_equal(slice(), bad);
	assert_int_equal(vms[bad]->state, VM_FAILED);
	for (u32 i = 0; i < 10; i++) {
		assert_int_equal(slice(), other);
		assert_int_equal(slice(), last);
	}
	assert_int_equal(idles, 0);
}

/* It was the last that ran, or the one whose turn it is. */
static void test_destroyed_between_slices(void **state)
{
	u32 last = first_slice();
	u32 next = (last + 1) % VMS, other = (last + 2) % VMS;
	u32 ran;

	(void)state;
	destroy(last);
	ran = slice();
	assert_true(ran == next || ran == other);
	assert_int_equal(slice(), next + other - ran);
	destroy(ran);
	for (u32 i = 0; i < 3; i++)
		assert_int_equal(slice(), next + other - ran);
	destroy(next + other - ran);
	assert_int_equal(idles, 0);
	assert_false(sched_run_ready());
	assert_int_equal(slice(), NO_VM);
	assert_int_equal(idles, 1);
}

/* ---- idling ---- */

static void test_ready_never_sleeps(void **state)
{
	u64 counter = fake_machine.counter;

	(void)state;
	for (u32 i = 0; i < 2 * VMS; i++)
		assert_true(sched_run_ready());
	for (u32 i = 0; i < VMS; i++)
		assert_int_equal(slices(i), 2);
	for (u32 i = 0; i < VMS; i++)
		halt(i);
	assert_false(sched_run_ready());
	assert_int_equal(idles, 0);
	assert_int_equal(fake_machine.counter, counter);
	vms[1]->vcpus[0].arch.has_irq = true;
	assert_true(sched_run_ready());
	assert_int_equal(slices(1), 3);
}

static void test_idle_only_when_none_can_run(void **state)
{
	u64 before = sched_slept();

	(void)state;
	leave_only(1);
	for (u32 i = 0; i < 5; i++)
		assert_int_equal(slice(), 1);
	assert_int_equal(idles, 0);
	halt(1);
	for (u32 i = 1; i <= 5; i++) {
		assert_int_equal(slice(), NO_VM);
		assert_int_equal(idles, i);
	}
	assert_int_equal(sched_slept() - before, 5 * SLEEP_NS);
}

static void wake(void *ctx)
{
	((struct vm *)ctx)->vcpus[0].arch.has_irq = true;
}

/* A halted VM's timer is seen to when it is due, also where another VM runs all the time. */
static void test_timers(void **state)
{
	struct timer timer;

	(void)state;
	timer_init(&timer, wake, vms[2]);
	leave_only(0);
	timer_arm(&vms[2]->clock, &timer, clock_now(&vms[2]->clock) + FAR_AWAY);
	assert_int_equal(slice(), 0);
	assert_int_equal(slice(), 0);
	fake_machine.counter += FAR_AWAY;
	assert_int_equal(slice(), 2);
	assert_int_equal(slice(), 0);

	/* With all halted: one far away is slept for, one that is nearly due is not. */
	halt(0);
	halt(2);
	vms[2]->vcpus[0].arch.has_irq = false;
	timer_arm(&vms[2]->clock, &timer, clock_now(&vms[2]->clock) + FAR_AWAY);
	assert_int_equal(slice(), NO_VM);
	assert_int_equal(idles, 1);
	timer_arm(&vms[2]->clock, &timer, clock_now(&vms[2]->clock) + NEARLY_DUE);
	assert_int_equal(slice(), NO_VM);
	assert_int_equal(idles, 1);
	/* Nobody is woken by a timer of a VM that does not run. */
	vm_pause(vms[2]);
	assert_int_equal(slice(), NO_VM);
	assert_int_equal(idles, 2);
	vm_resume(vms[2]);
	fake_machine.counter += NEARLY_DUE;
	assert_int_equal(slice(), 2);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_turns),
		TEST(test_somebody_waits_for_it),
		TEST(test_who_cannot_run_costs_nothing),
		TEST(test_failure_leaves_the_others),
		TEST(test_destroyed_between_slices),
		TEST(test_ready_never_sleeps),
		TEST(test_idle_only_when_none_can_run),
		TEST(test_timers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
