/* SPDX-License-Identifier: MIT */
/* VMs that run while their memory still comes from the volume. */
#include <internal/sched.h>

#include "stored_scene.h"

/* Beside the filled ones: so many side by side, of two chunks, from here on. */
#define MANY       MIB(1)
#define MANY_PAGES (STORE_CHUNK_PAGES + 3)
#define LAST       (MANY + (MANY_PAGES - 1) * PAGE_SIZE)
#define ABSENT     0x2000 /* zeros in the snapshot */

/* ---- scenes ---- */

/* The snapshot `s` of many pages is on the volume, and nothing else is there. */
static void make_many(void)
{
	struct vm *vm = machine_make("one");

	fill(vm, VERSION);
	for (u32 i = 0; i < MANY_PAGES; i++)
		machine_fill(vm, MANY + i * PAGE_SIZE, VERSION);
	assert_int_equal(take(vm, "s", SNAPSHOT_STORED), HV_OK);
	world_reboot();
}

static struct vm *restore_lazily(const char *name)
{
	assert_int_equal(restore_as(name, INTENT_RESUME, true), HV_OK);
	assert_non_null(vm_find(name)->mem.source);
	assert_int_equal(host_files_open(), 1);
	return vm_find(name);
}

static struct vm *make_lazy(void)
{
	make_many();
	return restore_lazily("one");
}

static struct pager *pager_of(const struct vm *vm)
{
	return container_of(vm->mem.source, struct pager, source);
}

/* All of it has come, and nothing is needed of the volume any more. */
static void assert_complete(struct vm *vm)
{
	assert_null(vm->mem.source);
	for (u32 i = 0; i < MANY_PAGES; i++)
		assert_true(machine_has(vm, MANY + i * PAGE_SIZE));
	for (u32 i = 0; i < MANY_PAGES; i++)
		assert_true(machine_is(vm, MANY + i * PAGE_SIZE, VERSION));
	assert_filled(vm, VERSION);
}

static void poll_to_the_end(struct vm *vm)
{
	for (u32 i = 0; i <= MANY_PAGES + ARRAY_COUNT(filled) && vm->mem.source; i++)
		snapshot_poll();
	assert_null(vm->mem.source);
}

/* Where the page at @gpa is in the file of `s`, which has all from MANY on in a row. */
static u8 *stored_page(u64 gpa)
{
	u64 before = gpa == filled[0] ? 0 : gpa == filled[1] ? 1 : 2 + (gpa - MANY) / PAGE_SIZE;
	u64 at = 3 + before / STORE_CHUNK_PAGES * (STORE_CHUNK_PAGES + 1) + 1 +
		 before % STORE_CHUNK_PAGES;
	u64 size;
	u8 *bytes = host_files_bytes(PATH, &size);

	assert_non_null(bytes);
	assert_true((at + 1) * PAGE_SIZE <= size);
	return bytes + at * PAGE_SIZE;
}

static void assert_failed_at(struct vm *vm, const char *wanted)
{
	assert_int_equal(vm->state, VM_FAILED);
	if (!strstr(vm->cause, "its memory in snapshot s can't be read: ") ||
	    !strstr(vm->cause, wanted))
		fail_msg("\"%s\" does not say \"%s\"", vm->cause, wanted);
}

/* ---- touching ---- */

static void test_from_hypervisor_context(void **state)
{
	struct vm *vm = make_lazy();

	(void)state;
	host_context_firmware = false;
	assert_int_equal(mem_fault(&vm->mem, GPA(MANY + 8), false), HV_ENO_MEMORY);
	host_context_firmware = true;
	assert_false(machine_has(vm, MANY));
	assert_true(vm->mem.source->serve(vm->mem.source));
	assert_true(machine_has(vm, MANY));
	/* That was all that was wanted. */
	assert_false(vm->mem.source->serve(vm->mem.source));
	host_context_firmware = false;
	assert_int_equal(mem_fault(&vm->mem, GPA(MANY + 8), true), HV_OK);
	host_context_firmware = true;
	assert_true(machine_is(vm, MANY, VERSION));
}

static void test_from_firmware_context(void **state)
{
	struct vm *vm = make_lazy();
	u8 byte = 0x77, page[PAGE_SIZE];

	(void)state;
	assert_false(machine_has(vm, MANY));
	assert_int_equal(mem_fault(&vm->mem, GPA(MANY), false), HV_OK);
	assert_true(machine_has(vm, MANY));
	/* With those that follow, and no more. */
	assert_true(machine_has(vm, MANY + (PAGER_CLUSTER - 1) * PAGE_SIZE));
	assert_false(machine_has(vm, MANY + PAGER_CLUSTER * PAGE_SIZE));
	assert_true(machine_is(vm, MANY, VERSION));

	assert_true(machine_is(vm, LAST, VERSION));
	/* A part of a page is written over what was there. */
	assert_int_equal(mem_write(&vm->mem, GPA(filled[2] + 5), &byte, 1), HV_OK);
	machine_pattern(page, filled[2], VERSION);
	page[5] = byte;
	assert_memory_equal(mem_page(&vm->mem, GPA(filled[2]), false), page, PAGE_SIZE);
	/* What was written stays when the rest comes. */
	poll_to_the_end(vm);
	assert_memory_equal(mem_page(&vm->mem, GPA(filled[2]), false), page, PAGE_SIZE);
}

static void test_zeros_never_ask_the_volume(void **state)
{
	struct vm *vm = make_lazy();
	u8 page[PAGE_SIZE], zero[PAGE_SIZE] = {0};
	u32 steps = host_files.steps;

	(void)state;
	assert_int_equal(mem_read(&vm->mem, GPA(ABSENT), page, PAGE_SIZE), HV_OK);
	assert_memory_equal(page, zero, PAGE_SIZE);
	host_context_firmware = false;
	assert_int_equal(mem_fault(&vm->mem, GPA(MACHINE_RAM2 + MIB(1)), true), HV_OK);
	host_context_firmware = true;
	assert_false(vm->mem.source->serve(vm->mem.source));
	assert_int_equal(host_files.steps, steps);
}

static void test_all_of_it_comes(void **state)
{
	struct vm *vm = make_lazy();
	u64 left = pager_of(vm)->left;

	(void)state;
	assert_int_equal(left, MANY_PAGES + ARRAY_COUNT(filled) + MACHINE_DEVICE_PAGES);
	while (vm->mem.source) {
		assert_int_equal(pager_of(vm)->left, left);
		snapshot_poll();
		left -= vm->mem.source ? left - pager_of(vm)->left : left;
		assert_int_equal(host_files_open(), vm->mem.source ? 1 : 0);
	}
	assert_complete(vm);
	assert_int_equal(vm->state, VM_RUNNING);
	snapshot_poll();
}

static void test_a_snapshot_without_pages(void **state)
{
	struct vm_config config = {.name = "none", .memory = MIB(4), .vcpus = 1};
	struct vm *vm;

	(void)state;
	/* Nor those of the id and VMClock, which are not put into memory. */
	fake_machine.vm_reset = NULL;
	assert_int_equal(vm_create(&config, &vm), HV_OK);
	machine_of(vm)->genid.id[0] = 1;
	machine_of(vm)->vmclock.generation = 1;
	assert_int_equal(take(vm, "s", SNAPSHOT_STORED), HV_OK);
	world_reboot();
	assert_int_equal(restore_as("none", INTENT_RESUME, true), HV_OK);
	snapshot_poll();
	assert_null(vm_find("none")->mem.source);
}

/* A guest that touches what is not there yet goes on when it is. */
static void test_the_guest_waits_for_its_page(void **state)
{
	static const struct hv_exit script[] = {
		{.reason = EXIT_MEMORY, .gpa = {LAST}},
		{.reason = EXIT_HOST_IRQ},
		{.reason = EXIT_MEMORY, .gpa = {LAST}},
		{.reason = EXIT_MEMORY, .gpa = {ABSENT}, .is_write = true},
	};
	struct vm *vm = make_lazy();
	struct vcpu_arch *arch = &vm->vcpus[0].arch;

	(void)state;
	arch->script = script;
	arch->script_length = ARRAY_COUNT(script);
	sched_run_slice();
	assert_int_equal(arch->played, 1);
	assert_false(machine_has(vm, LAST));
	sched_run_slice();
	assert_int_equal(arch->played, 2);
	assert_true(machine_has(vm, LAST));
	sched_run_slice();
	assert_int_equal(arch->played, ARRAY_COUNT(script));
	assert_int_equal(vm->state, VM_RUNNING);
	assert_int_equal(arch->faults + arch->skips, 0);
	assert_true(machine_is(vm, LAST, VERSION));
	assert_int_equal(world.idles, 0);
}

static void test_the_guest_waits_for_a_damaged_page(void **state)
{
	static const struct hv_exit script[] = {{.reason = EXIT_MEMORY, .gpa = {LAST}}};
	struct vm *vm = make_lazy();

	(void)state;
	vm->vcpus[0].arch.script = script;
	vm->vcpus[0].arch.script_length = ARRAY_COUNT(script);
	stored_page(LAST)[100] ^= 1;
	for (u32 i = 0; i < 5; i++)
		sched_run_slice();
	assert_failed_at(vm, "page at 201000h is damaged");
	assert_int_equal(vm->vcpus[0].arch.played, 1);
	assert_false(machine_has(vm, LAST));
}

/* ---- what can't be read ---- */

static void test_damage_fails_that_vm_alone(void **state)
{
	struct vm *one, *two;

	(void)state;
	make_many();
	two = machine_make("two");
	fill(two, LATER);
	one = restore_lazily("one");
	stored_page(MANY)[0] ^= 0x80;
	assert_false(machine_is(one, MANY, VERSION));
	assert_failed_at(one, "page at 100000h is damaged");
	assert_false(machine_has(one, MANY));
	/* Nobody reads on for a VM that has failed. */
	for (u32 i = 0; i < 3; i++) {
		u32 steps = host_files.steps;

		snapshot_poll();
		assert_int_equal(host_files.steps, steps);
	}
	assert_int_equal(two->state, VM_RUNNING);
	assert_filled(two, LATER);
	/* The damage is gone: it can be restored again. */
	stored_page(MANY)[0] ^= 0x80;
	assert_int_equal(restore_as("one", INTENT_RESUME, true), HV_OK);
	assert_int_equal(one->state, VM_RUNNING);
	assert_int_equal(host_files_open(), 1);
	poll_to_the_end(one);
	assert_complete(one);
}

static void test_a_medium_that_goes_away(void **state)
{
	struct vm *vm = make_lazy();

	(void)state;
	snapshot_poll();
	host_files.bad_read_at = host_files.steps + 1;
	snapshot_poll();
	assert_failed_at(vm, "can't be read: input/output error");
	vm_destroy(vm);
	assert_int_equal(host_files_open(), 0);

	vm = restore_lazily("one");
	host_files.off = true;
	why[0] = 0;
	assert_int_equal(pager_complete(vm, NULL, why), HV_EIO);
	assert_says("its memory in snapshot s can't be read: ");
	assert_failed_at(vm, "can't be read: input/output error");
}

/* ---- in the midst of it ---- */

static void test_a_snapshot_has_all_of_it(void **state)
{
	struct vm *vm = make_lazy();

	(void)state;
	snapshot_poll();
	assert_int_equal(take(vm, "t", SNAPSHOT_STORED), HV_OK);
	assert_complete(vm);
	assert_int_equal(snapshot_delete(snapshot_find("s"), why), HV_OK);
	world_reboot();
	assert_int_equal(snapshot_find("t")->pages,
			 MANY_PAGES + ARRAY_COUNT(filled) + MACHINE_DEVICE_PAGES);
	assert_string_equal(snapshot_find("t")->parent.name, "s");
}

static void test_no_snapshot_of_what_is_damaged(void **state)
{
	struct vm *vm = make_lazy();

	(void)state;
	stored_page(LAST)[0] ^= 1;
	assert_int_equal(take(vm, "t", SNAPSHOT_STORED), HV_ECORRUPT);
	assert_says("its memory in snapshot s can't be read: page at 201000h is damaged");
	assert_failed_at(vm, "page at 201000h is damaged");
	assert_null(snapshot_find("t"));
	assert_int_equal(host_files_count(), 1);
}

static void test_deleted_while_it_is_needed(void **state)
{
	struct vm *vm = make_lazy();

	(void)state;
	snapshot_poll();
	assert_int_equal(snapshot_delete(snapshot_find("s"), why), HV_OK);
	assert_int_equal(host_files_count(), 0);
	assert_complete(vm);
}

/* The first time that is said; then it goes, as nobody is helped by its files. */
static void test_damaged_and_deleted(void **state)
{
	struct vm *vm = make_lazy();

	(void)state;
	stored_page(LAST)[0] ^= 1;
	assert_int_equal(snapshot_delete(snapshot_find("s"), why), HV_ECORRUPT);
	assert_says("its memory in snapshot s can't be read: page at 201000h is damaged");
	assert_failed_at(vm, "page at 201000h is damaged");
	assert_int_equal(host_files_count(), 1);
	assert_int_equal(snapshot_delete(snapshot_find("s"), why), HV_OK);
	assert_int_equal(host_files_count(), 0);
	assert_int_equal(vm->state, VM_FAILED);
}

/* One that failed otherwise has all of its memory when the files go: a reset may need it. */
static void test_deleted_with_a_vm_that_failed(void **state)
{
	struct vm *vm = make_lazy();

	(void)state;
	vm_fail(vm, "triple fault");
	assert_int_equal(snapshot_delete(snapshot_find("s"), why), HV_OK);
	assert_string_equal(vm->cause, "triple fault");
	assert_complete(vm);
}

static void test_restored_again(void **state)
{
	struct vm *vm = make_lazy();

	(void)state;
	machine_fill(vm, MANY, LATER);
	snapshot_poll();
	assert_ptr_equal(restore_lazily("one"), vm);
	assert_false(machine_has(vm, MANY));
	assert_true(machine_is(vm, MANY, VERSION));
	assert_int_equal(restore_as("one", INTENT_ROLLBACK, false), HV_OK);
	assert_null(vm->mem.source);
	assert_int_equal(host_files_open(), 0);
	snapshot_poll();
	assert_complete(vm);
	/* Now it is in memory, and nothing has to be read. */
	assert_int_equal(restore_as("one", INTENT_RESUME, true), HV_OK);
	assert_complete(vm);
}

/* What can't be restored leaves a VM that waits for its memory as it was. */
static void test_a_refused_restore_leaves_the_pager(void **state)
{
	struct vm *vm = make_lazy();
	struct mem_source *source = vm->mem.source;

	(void)state;
	for (u32 i = 0; i < 2; i++) {
		world.no_entropy = true;
		assert_int_equal(restore_as("one", INTENT_ROLLBACK, !i), HV_ENO_ENTROPY);
		world.no_entropy = false;
		/* Of the state: folder, file, header, and the records of what the VM is, and on. */
		host_files.bad_read_at = host_files.steps + 5;
		assert_int_equal(restore_as("one", INTENT_ROLLBACK, !i), HV_EIO);
		assert_ptr_equal(vm->mem.source, source);
		assert_int_equal(host_files_open(), 1);
		assert_int_equal(vm->state, VM_RUNNING);
	}
	poll_to_the_end(vm);
	assert_complete(vm);
}

static void test_reset(void **state)
{
	struct vm *vm = make_lazy();

	(void)state;
	snapshot_poll();
	assert_int_equal(vm_reset(vm), HV_OK);
	poll_to_the_end(vm);
	assert_complete(vm);
	assert_int_equal(vm->state, VM_RUNNING);
}

static void test_ended(void **state)
{
	struct vm *vm = make_lazy();

	(void)state;
	snapshot_poll();
	vm_destroy(vm);
	assert_int_equal(host_files_open(), 0);
	snapshot_poll();
}

static void test_two_at_once(void **state)
{
	struct vm *one, *two;

	(void)state;
	make_many();
	one = restore_lazily("one");
	assert_int_equal(restore_as("two", INTENT_CLONE, true), HV_OK);
	two = vm_find("two");
	assert_int_equal(host_files_open(), 2);
	machine_fill(one, LAST, LATER);
	poll_to_the_end(one);
	poll_to_the_end(two);
	assert_int_equal(host_files_open(), 0);
	assert_true(machine_is(one, LAST, LATER));
	assert_complete(two);
}

/* ---- memory ---- */

/* Takes pages out of the pool, linked through themselves, until @left are free. */
static void *drain(u64 left)
{
	void *pages = NULL;

	while (machine_pool.free_pages > left) {
		void *page = pool_alloc_page(&machine_pool);

		*(void **)page = pages;
		pages = page;
	}
	return pages;
}

static void give_back(void *pages)
{
	while (pages) {
		void *next = *(void **)pages;

		pool_unref(&machine_pool, pages);
		pages = next;
	}
}

static void test_the_pool_is_filled_again(void **state)
{
	struct vm *vm = make_lazy();
	void *pages = drain(0);

	(void)state;
	poll_to_the_end(vm);
	assert_complete(vm);
	give_back(pages);
}

/* Each page may need three tables of its own, however many free pages there are at first. */
static void test_far_apart(void **state)
{
	struct vm *vm;

	(void)state;
	machine_more_ram = MACHINE_FAR_MAX;
	vm = machine_make("one");
	for (u32 i = 0; i < MACHINE_FAR_MAX; i++)
		machine_fill(vm, MACHINE_FAR(i), VERSION);
	assert_int_equal(take(vm, "s", SNAPSHOT_STORED), HV_OK);
	world_reboot();
	for (u32 left = 0; left < 5 * PAGER_CLUSTER; left += 4) {
		void *pages;

		assert_int_equal(restore_as("one", INTENT_RESUME, true), HV_OK);
		vm = vm_find("one");
		pages = drain(left);
		poll_to_the_end(vm);
		for (u32 i = 0; i < MACHINE_FAR_MAX; i++)
			assert_true(machine_is(vm, MACHINE_FAR(i), VERSION));
		give_back(pages);
		vm_destroy(vm);
	}
}

static void test_no_memory_is_left(void **state)
{
	struct vm *vm = make_lazy();
	void *pages;

	(void)state;
	world.blocks = 0;
	/* What there is is used to the end. */
	pages = drain(PAGER_CLUSTER + 4);
	assert_true(machine_is(vm, MANY, VERSION));
	assert_int_equal(vm->state, VM_RUNNING);
	assert_false(machine_is(vm, LAST - 2 * PAGER_CLUSTER * PAGE_SIZE, VERSION));
	assert_failed_at(vm, "no guest memory is left");
	give_back(pages);
	world.blocks = WORLD_BLOCKS;
	assert_int_equal(restore_as("one", INTENT_RESUME, true), HV_OK);
	poll_to_the_end(vm);
	assert_complete(vm);
}

/* As much as it will need is there, or it isn't begun. */
static void test_too_little_memory_to_begin(void **state)
{
	void *pages;

	(void)state;
	make_many();
	machine_make("one");
	world.blocks = 0;
	pages = drain(100);
	assert_int_equal(restore_as("one", INTENT_RESUME, true), HV_ENO_MEMORY);
	assert_says("the machine has no memory left for snapshot s");
	assert_int_equal(vm_find("one")->state, VM_RUNNING);
	assert_int_equal(host_files_open(), 0);
	give_back(pages);
	world.blocks = WORLD_BLOCKS;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		STORED_TEST(test_from_hypervisor_context),
		STORED_TEST(test_from_firmware_context),
		STORED_TEST(test_zeros_never_ask_the_volume),
		STORED_TEST(test_all_of_it_comes),
		STORED_TEST(test_a_snapshot_without_pages),
		STORED_TEST(test_the_guest_waits_for_its_page),
		STORED_TEST(test_the_guest_waits_for_a_damaged_page),
		STORED_TEST(test_damage_fails_that_vm_alone),
		STORED_TEST(test_a_medium_that_goes_away),
		STORED_TEST(test_a_snapshot_has_all_of_it),
		STORED_TEST(test_no_snapshot_of_what_is_damaged),
		STORED_TEST(test_deleted_while_it_is_needed),
		STORED_TEST(test_damaged_and_deleted),
		STORED_TEST(test_deleted_with_a_vm_that_failed),
		STORED_TEST(test_restored_again),
		STORED_TEST(test_a_refused_restore_leaves_the_pager),
		STORED_TEST(test_reset),
		STORED_TEST(test_ended),
		STORED_TEST(test_two_at_once),
		STORED_TEST(test_the_pool_is_filled_again),
		STORED_TEST(test_far_apart),
		STORED_TEST(test_no_memory_is_left),
		STORED_TEST(test_too_little_memory_to_begin),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
