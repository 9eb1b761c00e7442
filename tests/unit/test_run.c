/* SPDX-License-Identifier: MIT */
/* The exit loop and the life of a VM, on a CPU that plays a script: real vm.c, run.c, mem.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <internal/sched.h>

#include "host_bare.h"

/* ---- what else the host has ---- */

static u32 idles;

u64 host_wall_clock(void)
{
	return 0;
}

void host_idle(const u32 *kicked)
{
	(void)kicked;
	idles++;
	fake_machine.counter += 1000;
}

/* ---- the tests ---- */

static struct vm *make(void)
{
	struct vm *vm;

	fake_machine = (struct fake_machine){.counter = 1000, .counter_hz = NS_PER_SEC};
	assert_int_equal(bare_vm("one", &vm), HV_OK);
	assert_int_equal(vm->state, VM_PAUSED);
	vm_resume(vm);
	idles = 0;
	return vm;
}

static void play(struct vm *vm, const struct hv_exit *script, u32 length)
{
	vm->vcpus[0].arch.script = script;
	vm->vcpus[0].arch.script_length = length;
	vm->vcpus[0].arch.played = 0;
	sched_run_slice();
	assert_int_equal(vm->vcpus[0].arch.played, length);
	assert_false(vm->vcpus[0].arch.loaded);
}

static void test_each_verdict(void **state)
{
	static const struct hv_exit script[] = {
		{.reason = EXIT_PIO, .address = 0x1234, .access = {.size = 2}},
		{.reason = EXIT_REG, .address = 0x10, .access = {.size = 8}},
		{.reason = EXIT_HYPERCALL},
		{.reason = EXIT_MEMORY, .gpa = {0x1000}, .is_write = true},
	};
	struct vm *vm = make();
	struct vcpu_arch *arch = &vm->vcpus[0].arch;
	char said[512];

	(void)state;
	play(vm, script, ARRAY_COUNT(script));
	/* Nobody has the port: all ones, skipped. Nobody has the register: a fault. */
	assert_int_equal(arch->completed_value, 0xffff);
	assert_int_equal(arch->skips, 2);
	assert_int_equal(arch->faults, 1);
	/* Memory was filled in and flushed before the guest went on. */
	assert_non_null(mem_page(&vm->mem, GPA(0x1000), false));
	assert_int_equal(arch->flushes, 1);
	assert_int_equal(vm->vcpus[0].pending, 0);
	assert_int_equal(vm->vcpus[0].exits[EXIT_PIO], 1);
	assert_int_equal(vm->vcpus[0].exits[EXIT_HOST_IRQ], 1);
	vcpu_describe_exits(&vm->vcpus[0], said, sizeof(said));
	assert_string_equal(said, "host interrupt; memory; hypercall; register; port I/O");
	vcpu_describe_exits(&vm->vcpus[0], said, 8);
	assert_string_equal(said, "host in");
	assert_int_equal(vm->state, VM_RUNNING);
	vm_destroy(vm);
}

static void test_halt_sleeps_until_an_interrupt(void **state)
{
	static const struct hv_exit script[] = {{.reason = EXIT_HALT}};
	struct vm *vm = make();
	u64 slept = sched_slept();

	(void)state;
	play(vm, script, 1);
	assert_int_equal(vm->vcpus[0].state, VCPU_HALTED);
	assert_int_equal(vm->vcpus[0].arch.skips, 1);
	assert_int_equal(sched_slept(), slept);
	sched_run_slice();
	assert_int_equal(idles, 1);
	assert_int_equal(sched_slept() - slept, 1000);
	vm->vcpus[0].arch.has_irq = true;
	sched_run_slice();
	assert_int_equal(vm->vcpus[0].state, VCPU_RUNNABLE);
	assert_int_equal(idles, 1);
	vm_destroy(vm);
}

static void test_failures_are_in_words(void **state)
{
	static const struct hv_exit script[] = {{.reason = EXIT_SHUTDOWN, .cause = "triple fault"}};
	struct vm *vm = make();

	(void)state;
	play(vm, script, 1);
	assert_int_equal(vm->state, VM_FAILED);
	assert_string_equal(vm->cause, "triple fault");
	sched_run_slice();
	assert_int_equal(idles, 1);
	vm_destroy(vm);
}

static void test_reset_keeps_the_vm(void **state)
{
	struct vm *vm = make();

	(void)state;
	assert_int_equal(vm->arch.resets, 1);
	vm_request_reset(vm);
	play(vm, NULL, 0);
	assert_int_equal(vm->arch.resets, 2);
	assert_int_equal(vm->state, VM_RUNNING);
	assert_ptr_equal(vm_find("one"), vm);
	vm_destroy(vm);
	assert_null(vm_find("one"));
}

static void test_time_stands_still_while_paused(void **state)
{
	struct vm *vm = make();
	u64 before;

	(void)state;
	fake_machine.counter += 500;
	before = clock_now(&vm->clock);
	assert_int_equal(before, 500);
	vm_pause(vm);
	fake_machine.counter += 10000;
	assert_int_equal(clock_now(&vm->clock), before);
	vm_resume(vm);
	fake_machine.counter += 7;
	assert_int_equal(clock_now(&vm->clock), before + 7);
	vm_destroy(vm);
}

/* ---- a device beside memory ---- */

#define DEVICE MIB(16)

static struct timer timer;
static u32 accesses, fired;
static enum io_result answer;

static void fire(void *ctx)
{
	(void)ctx;
	fired++;
}

/* Each access arms a timer that is due by then. */
static enum io_result access_device(void *ctx, struct io_access *access)
{
	struct vm *vm = ctx;

	(void)access;
	accesses++;
	timer_arm(&vm->clock, &timer, clock_now(&vm->clock));
	return answer;
}

static enum hv_error add_device(struct vm *vm)
{
	const struct io_region region = {.name = "device",
					 .space = IO_MMIO,
					 .base = DEVICE,
					 .length = PAGE_SIZE,
					 .handler = access_device,
					 .ctx = vm};

	timer_init(&timer, fire, NULL);
	return io_register(&vm->io, &region);
}

static void test_devices_and_memory(void **state)
{
	static const struct hv_exit script[] = {
		{.reason = EXIT_MEMORY, .gpa = {0x2000}, .is_write = true},
		{.reason = EXIT_MEMORY, .gpa = {DEVICE + 8}, .access = {.size = 4}},
		{.reason = EXIT_MEMORY, .gpa = {DEVICE}, .access = {.size = 4, .is_write = true}},
		{.reason = EXIT_MEMORY, .gpa = {0x3000}, .is_write = true},
		{.reason = EXIT_MEMORY, .gpa = {DEVICE + PAGE_SIZE}, .access = {.size = 4}},
		{.reason = EXIT_MEMORY, .gpa = {DEVICE}, .access = {.size = 8}},
	};
	struct io_access access = {.size = 4};
	struct vm *vm = make();
	struct vcpu_arch *arch = &vm->vcpus[0].arch;

	(void)state;
	assert_int_equal(add_device(vm), HV_OK);
	accesses = fired = 0;
	play(vm, script, ARRAY_COUNT(script));
	assert_int_equal(accesses, 3);
	assert_int_equal(fired, 3);
	assert_int_equal(arch->skips, 4);
	assert_int_equal(vm->mem.private_pages, 512); /* one block, for both */
	assert_int_equal(vcpu_access(&vm->vcpus[0], IO_MMIO, DEVICE, &access), HV_OK);
	assert_int_equal(accesses, 4);
	assert_int_equal(fired, 4);
	vm_destroy(vm);
}

/* It needs memory of the guest's that is not there: the guest leaves, and comes back to it. */
static void test_a_device_that_needs_memory(void **state)
{
	static const struct hv_exit script[] = {
		{.reason = EXIT_MEMORY, .gpa = {DEVICE}, .access = {.size = 4}},
	};
	struct vm *vm = make();

	(void)state;
	assert_int_equal(add_device(vm), HV_OK);
	answer = IO_AGAIN;
	play(vm, script, 1);
	assert_int_equal(vm->vcpus[0].arch.skips, 0);
	assert_int_equal(vm->vcpus[0].arch.faults, 0);
	assert_true(vm->mem_wanted);
	answer = IO_DONE;
	play(vm, script, 1);
	assert_false(vm->mem_wanted);
	assert_int_equal(vm->vcpus[0].arch.skips, 1);
	vm_destroy(vm);
}

static void describes(const struct hv_exit *exit, const char *wanted)
{
	char text[80];

	exit_describe(exit, text, sizeof(text));
	assert_string_equal(text, wanted);
}

static void test_exits_in_words(void **state)
{
	(void)state;
	describes(&(struct hv_exit){.reason = EXIT_HALT}, "halt");
	describes(&(struct hv_exit){.reason = EXIT_MEMORY, .gpa = {0xfee000b0}, .is_write = true},
		  "memory, write at fee000b0h");
	describes(&(struct hv_exit){.reason = EXIT_PIO, .address = 0x3f8, .access = {.size = 1}},
		  "port I/O, read of 1 bytes at 3f8h");
}

static void test_too_much_memory_is_refused(void **state)
{
	struct vm_config config = {.name = "big", .memory = GIB(900), .vcpus = 1};
	struct vm *vm;

	(void)state;
	assert_int_equal(vm_create(&config, &vm), HV_ENO_MEMORY);
	assert_null(vm_first());
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_verdict),
		cmocka_unit_test(test_halt_sleeps_until_an_interrupt),
		cmocka_unit_test(test_failures_are_in_words),
		cmocka_unit_test(test_reset_keeps_the_vm),
		cmocka_unit_test(test_time_stands_still_while_paused),
		cmocka_unit_test(test_devices_and_memory),
		cmocka_unit_test(test_a_device_that_needs_memory),
		cmocka_unit_test(test_exits_in_words),
		cmocka_unit_test(test_too_much_memory_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
