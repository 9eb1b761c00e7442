/* SPDX-License-Identifier: MIT */
/* Snapshots on a volume, from the VM down to the bytes of the files and back. */
#include "stored_scene.h"

/* The id is in guest memory as the device has it. */
static void assert_id_in_memory(struct vm *vm)
{
	const struct vmgenid *genid = &machine_of(vm)->genid;
	u8 id[VMGENID_BYTES];

	assert_int_equal(mem_read(&vm->mem, genid->address, id, sizeof(id)), HV_OK);
	assert_memory_equal(id, genid->id, sizeof(id));
}

/* VMClock's, as the guest sees it. */
static u64 generation_in_memory(struct vm *vm)
{
	struct vmclock_page page;

	assert_int_equal(mem_read(&vm->mem, machine_of(vm)->vmclock.address, &page, sizeof(page)),
			 HV_OK);
	return page.vm_generation_counter;
}

/* ---- whole ones ---- */

static void test_power_off_and_on(void **state)
{
	u8 id[VMGENID_BYTES], snapshot_id[STORE_ID];
	struct vm *vm = machine_make("one");
	struct snapshot *s;
	u64 counter;
	u32 crc;

	(void)state;
	fill(vm, VERSION);
	fake_machine.counter = 5000;
	vm_pause(vm);
	crc = machine_crc(vm);
	counter = vm_counter(vm);
	memcpy(id, machine_of(vm)->genid.id, sizeof(id));
	assert_int_equal(snapshot_take(vm, "s", SNAPSHOT_STORED, NULL, &s, why), HV_OK);
	memcpy(snapshot_id, s->id, sizeof(snapshot_id));
	assert_memory_equal(vm->lineage.id, s->id, STORE_ID);
	/* Pages that are zeros are not in it: header, two areas, a list, the filled ones,
	 * those of the devices.
	 */
	assert_int_equal(s->bytes, (4 + ARRAY_COUNT(filled) + MACHINE_DEVICE_PAGES) * PAGE_SIZE);
	fill(vm, LATER);
	world_reboot();

	s = snapshot_first();
	assert_non_null(s);
	assert_null(s->next);
	assert_string_equal(s->name, "s");
	assert_string_equal(s->config.name, "one");
	assert_string_equal(s->arch, "fake");
	assert_string_equal(s->damage, "");
	assert_memory_equal(s->id, snapshot_id, sizeof(snapshot_id));
	assert_int_equal(s->parent.name[0], 0);
	assert_int_equal(s->bytes, (4 + ARRAY_COUNT(filled) + MACHINE_DEVICE_PAGES) * PAGE_SIZE);
	assert_null(s->image.root);
	fake_machine.counter = 70000;
	assert_int_equal(restore(INTENT_RESUME), HV_OK);
	vm = vm_find("one");
	assert_non_null(vm);
	assert_int_equal(vm->state, VM_RUNNING);
	assert_int_equal(vm_counter(vm), counter);
	assert_int_equal(machine_crc(vm), crc);
	assert_memory_equal(machine_of(vm)->genid.id, id, sizeof(id));
	assert_int_equal(machine_of(vm)->edges, 0);
	assert_int_equal(machine_of(vm)->clock_edges, 0);
	assert_int_equal(machine_of(vm)->thing.loads, 1);
	assert_string_equal(vm->config.kernel, "vmlinuz");
	assert_string_equal(vm->lineage.name, "s");
	assert_memory_equal(vm->lineage.id, snapshot_id, sizeof(snapshot_id));
}

/* As a kernel does that is loaded: all of the first piece of RAM. */
static enum hv_error fill_ram(struct vm *vm)
{
	static const u8 page[PAGE_SIZE] = {1};
	enum hv_error err = HV_OK;

	for (u64 at = 0; !err && at < vm->config.memory; at += PAGE_SIZE)
		err = mem_write(&vm->mem, GPA(at), page, sizeof(page));
	return err;
}

/* One that was restored into nothing can be reset: memory that it never had is found then. */
static void test_reset_after_power_off(void **state)
{
	struct vm *vm;

	(void)state;
	make_stored();
	world_reboot();
	assert_int_equal(restore(INTENT_RESUME), HV_OK);
	vm = vm_find("one");
	assert_non_null(vm);
	fake_machine.vm_reset = fill_ram;
	assert_int_equal(vm_reset(vm), HV_OK);
	assert_int_equal(vm->state, VM_RUNNING);
}

static void test_in_place_with_a_new_id(void **state)
{
	struct vm *vm = make_rebooted();
	u8 id[VMGENID_BYTES];
	struct vm *is;

	(void)state;
	memcpy(id, machine_of(vm)->genid.id, sizeof(id));
	assert_int_equal(restore(INTENT_ROLLBACK), HV_OK);
	is = vm_find("one");
	assert_ptr_equal(is, vm);
	assert_filled(vm, VERSION);
	assert_memory_not_equal(machine_of(vm)->genid.id, id, sizeof(id));
	assert_id_in_memory(vm);
	assert_int_equal(machine_of(vm)->edges, 1);
	assert_int_equal(machine_of(vm)->clock_edges, 1);
	/* Memory that was zeros is again. */
	assert_int_equal(vm->state, VM_RUNNING);
}

static void test_the_parent_is_remembered(void **state)
{
	struct vm *vm = make_stored();
	u8 id[STORE_ID];

	(void)state;
	memcpy(id, snapshot_find("s")->id, sizeof(id));
	assert_int_equal(take(vm, "next", SNAPSHOT_STORED), HV_OK);
	world_reboot();
	assert_string_equal(snapshot_find("next")->parent.name, "s");
	assert_memory_equal(snapshot_find("next")->parent.id, id, sizeof(id));
}

/* A guest that reboots while its snapshot is written came from no snapshot. */
static struct vm *rebooting;

static void reboot_guest(const char *what, u64 done, u64 all)
{
	(void)what;
	(void)done;
	(void)all;
	vm_request_reset(rebooting);
}

static void test_a_reboot_while_writing_ends_the_lineage(void **state)
{
	struct vm *vm = machine_make("one");
	struct snapshot *s;

	(void)state;
	/* More than a chunk, so that there is something in between. */
	for (u32 i = 0; i <= STORE_CHUNK_PAGES; i++)
		machine_fill(vm, i * PAGE_SIZE, VERSION);
	rebooting = vm;
	assert_int_equal(snapshot_take(vm, "s", SNAPSHOT_STORED, reboot_guest, &s, why), HV_OK);
	assert_int_equal(vm->arch.resets, 2);
	assert_int_equal(vm->lineage.name[0], 0);
}

static void test_clones(void **state)
{
	struct restore_request request = {.intent = INTENT_CLONE};
	struct vm *vm = make_rebooted(), *clones[3];
	u32 crc = machine_crc(vm);

	(void)state;
	for (u32 i = 0; i < 3; i++) {
		assert_int_equal(snapshot_clone(snapshot_find("s"), &request, &clones[i], why),
				 HV_OK);
		assert_filled(clones[i], VERSION);
		assert_id_in_memory(clones[i]);
		assert_int_equal(clones[i]->state, VM_RUNNING);
		assert_int_equal(machine_of(clones[i])->edges, 1);
		assert_int_equal(machine_of(clones[i])->clock_edges, 1);
		assert_true(generation_in_memory(clones[i]) != generation_in_memory(vm));
		assert_memory_not_equal(machine_of(clones[i])->genid.id, machine_of(vm)->genid.id,
					VMGENID_BYTES);
		for (u32 j = 0; j < i; j++) {
			assert_memory_not_equal(machine_of(clones[i])->genid.id,
						machine_of(clones[j])->genid.id, VMGENID_BYTES);
			assert_true(generation_in_memory(clones[i]) !=
				    generation_in_memory(clones[j]));
		}
	}
	assert_string_equal(clones[0]->config.name, "one-1");
	assert_string_equal(clones[2]->config.name, "one-3");
	/* What one writes, no other sees; and none needs the snapshot any more. */
	fill(clones[1], 7);
	assert_int_equal(snapshot_delete(snapshot_find("s"), why), HV_OK);
	assert_null(snapshot_first());
	assert_int_equal(host_files_count(), 0);
	fill(clones[0], 8);
	assert_filled(clones[0], 8);
	assert_filled(clones[1], 7);
	assert_filled(clones[2], VERSION);
	assert_int_equal(machine_crc(vm), crc);
}

static void test_other_vm_and_paused(void **state)
{
	struct restore_request request = {.intent = INTENT_IMPORT, .paused = true, .vm = "two"};
	struct vm *one = make_rebooted(), *two;

	(void)state;
	assert_int_equal(snapshot_restore(snapshot_find("s"), &request, &two, why), HV_OK);
	assert_ptr_equal(vm_find("two"), two);
	assert_string_equal(two->config.name, "two");
	assert_int_equal(two->state, VM_PAUSED);
	assert_filled(two, VERSION);
	assert_filled(one, LATER);
	/* It stays as it is, and so does a VM that was paused. */
	request.paused = false;
	assert_int_equal(snapshot_restore(snapshot_find("s"), &request, &two, why), HV_OK);
	assert_int_equal(two->state, VM_PAUSED);
}

static void test_another_machine_is_replaced(void **state)
{
	struct vm_config config = {.name = "big", .memory = MIB(8), .vcpus = 1};
	struct vm *big;

	(void)state;
	make_rebooted();
	assert_int_equal(vm_create(&config, &big), HV_OK);
	world.no_entropy = true;
	assert_int_equal(restore_as("big", INTENT_IMPORT, false), HV_ENO_ENTROPY);
	assert_ptr_equal(vm_find("big"), big);
	world.no_entropy = false;
	assert_int_equal(restore_as("big", INTENT_IMPORT, false), HV_OK);
	assert_int_equal(vm_find("big")->config.memory, MIB(4));
	assert_null(vm_find(""));
}

static void test_names_that_are_one_file(void **state)
{
	struct vm *vm = make_stored();

	(void)state;
	assert_int_equal(take(vm, "S", SNAPSHOT_STORED), HV_EEXISTS);
	assert_says("there is a snapshot s already");
	assert_int_equal(take(vm, "S", SNAPSHOT_REPLACE), HV_EEXISTS);
	assert_int_equal(take(vm, "s", SNAPSHOT_STORED), HV_EEXISTS);
	assert_int_equal(take(vm, "s", SNAPSHOT_MEMORY | SNAPSHOT_REPLACE), HV_EEXISTS);
	assert_int_equal(host_files_count(), 1);
	assert_int_equal(take(vm, "s", SNAPSHOT_REPLACE), HV_OK);
	assert_int_equal(host_files_count(), 1);
	world_reboot();
	assert_int_equal(restore(INTENT_RESUME), HV_OK);
	assert_filled(vm_find("one"), LATER);
}

/* It was on a stick that was plugged in after the table was made. */
static void test_not_in_the_table(void **state)
{
	struct vm *vm = make_stored();
	static u8 bytes[MIB(1)];
	const u8 *from;
	u64 size;

	(void)state;
	from = host_files_bytes(PATH, &size);
	assert_true(size <= sizeof(bytes));
	memcpy(bytes, from, size);
	assert_int_equal(snapshot_delete(snapshot_find("s"), why), HV_OK);
	host_files_put(PATH, bytes, size);
	assert_int_equal(take(vm, "s", SNAPSHOT_STORED), HV_EEXISTS);
	assert_says("there is a snapshot s in snapshots already; say --replace");
	assert_null(snapshot_find("s"));
	from = host_files_bytes(PATH, &size);
	assert_memory_equal(from, bytes, size);
	assert_int_equal(take(vm, "s", SNAPSHOT_REPLACE), HV_OK);
}

/* A file that has no name of a snapshot is somebody else's. */
static void test_other_files_stay(void **state)
{
	u64 size;

	(void)state;
	host_files_put("snapshots/~0.snap", "mine", 4);
	make_stored();
	assert_non_null(host_files_bytes("snapshots/~0.snap", &size));
	assert_int_equal(snapshot_delete(snapshot_find("s"), why), HV_OK);
	assert_non_null(host_files_bytes("snapshots/~0.snap", &size));
	assert_int_equal(host_files_count(), 1);
}

static void test_replaced_while_another_vm_needs_it(void **state)
{
	struct vm *vm = make_rebooted();

	(void)state;
	assert_int_equal(restore_as("lazy", INTENT_IMPORT, true), HV_OK);
	assert_non_null(vm_find("lazy")->mem.source);
	assert_int_equal(take(vm, "s", SNAPSHOT_REPLACE), HV_OK);
	assert_null(vm_find("lazy")->mem.source);
	assert_filled(vm_find("lazy"), VERSION);
	assert_filled(vm, LATER);
	assert_int_equal(host_files_count(), 1);
}

/* ---- failures of the host ---- */

/* The first of @vm's snapshots `s` was refused or not, and in either case it goes on. */
static void assert_goes_on(struct vm *vm, enum hv_error err)
{
	assert_int_equal(vm->state, VM_RUNNING);
	assert_filled(vm, VERSION);
	assert_int_equal(host_files_open(), 0);
	if (err) {
		assert_reason();
		assert_null(snapshot_find("s"));
		assert_int_equal(vm->lineage.name[0], 0);
	}
}

static void test_each_step_of_writing_fails(void **state)
{
	bool cut = true;

	(void)state;
	for (u32 step = 1; cut; step++) {
		struct vm *vm = machine_make("one");
		enum hv_error err;

		fill(vm, VERSION);
		host_files.cut_at = host_files.steps + step;
		err = take(vm, "s", SNAPSHOT_STORED);
		cut = host_files.off;
		assert_goes_on(vm, err);
		if (err)
			assert_says("; ");
		world_reboot();
		/* Where it was said to be written, it is. */
		if (!err) {
			assert_int_equal(restore(INTENT_RESUME), HV_OK);
			assert_filled(vm_find("one"), VERSION);
		}
		world_end();
		world_begin();
	}
}

/* At any time there is one that is whole: the earlier, or what was written. */
static void test_each_step_of_replacing_fails(void **state)
{
	bool cut = true;

	(void)state;
	for (u32 step = 1; cut; step++) {
		struct vm *vm = make_stored();
		const struct snapshot *before = snapshot_find("s");
		enum hv_error err;

		host_files.cut_at = host_files.steps + step;
		err = take(vm, "s", SNAPSHOT_REPLACE);
		cut = host_files.off;
		if (err) {
			assert_reason();
			assert_ptr_equal(snapshot_first(), before);
			assert_string_equal(vm->lineage.name, "s");
			assert_memory_equal(vm->lineage.id, before->id, STORE_ID);
		}
		assert_null(snapshot_first()->next);
		assert_filled(vm, LATER);
		world_reboot();
		assert_int_equal(restore(INTENT_RESUME), HV_OK);
		vm = vm_find("one");
		assert_filled(vm, machine_of(vm)->thing.value);
		assert_true(err || machine_of(vm)->thing.value == LATER);
		world_end();
		world_begin();
	}
}

static void test_no_room_on_the_volume(void **state)
{
	struct vm *vm = machine_make("one");

	(void)state;
	fill(vm, VERSION);
	for (u64 room = 0; room < 8 * PAGE_SIZE; room += PAGE_SIZE / 2) {
		host_files.full_after = room;
		assert_int_equal(take(vm, "s", SNAPSHOT_STORED), HV_ENO_SPACE);
		assert_says("can't be written: no room left after 0 MiB, 1 MiB are missing; "
			    "nothing was changed");
		assert_says("`delete`");
		assert_goes_on(vm, HV_ENO_SPACE);
		assert_int_equal(host_files_count(), 0);
	}
	host_files.full_after = UINT64_MAX;
	host_files.room = KIB(64);
	assert_int_equal(take(vm, "s", SNAPSHOT_STORED), HV_ENO_SPACE);
	assert_says("`delete`");
	host_files.room = GIB(1);
	host_files.write_protected = true;
	assert_int_equal(take(vm, "s", SNAPSHOT_STORED), HV_EDENIED);
	assert_says("write-protected; end that, or name a folder of another volume");
	assert_goes_on(vm, HV_EDENIED);
	host_files.write_protected = false;
	assert_int_equal(take(vm, "s", SNAPSHOT_STORED), HV_OK);
}

static void test_each_allocation_of_taking_fails(void **state)
{
	struct vm *vm = machine_make("one");
	enum hv_error err = HV_ENO_MEMORY;

	(void)state;
	fill(vm, VERSION);
	for (u32 call = 1; err; call++) {
		world.fail_at = world.calls + call;
		err = take(vm, "s", SNAPSHOT_STORED);
		world.fail_at = 0;
		assert_true(!err || err == HV_ENO_MEMORY);
		assert_goes_on(vm, err);
		assert_int_equal(host_files_count(), !err);
	}
}

static void test_each_step_of_reading_fails(void **state)
{
	struct vm *vm = make_rebooted();

	(void)state;
	for (u32 i = 0; i < ARRAY_COUNT(ways); i++) {
		u32 refused = 0;

		for (u32 step = 1;; step++) {
			u32 bad = host_files.steps + step;

			host_files.bad_read_at = bad;
			if (!restore_as(ways[i].vm, INTENT_RESUME, ways[i].lazy) &&
			    host_files.steps < bad)
				break;
			host_files.bad_read_at = 0;
			/* The step was no read. */
			if (!why[0]) {
				vm = again(vm);
				continue;
			}
			assert_untouched(vm);
			refused++;
		}
		host_files.bad_read_at = 0;
		assert_true(refused >= 4);
		vm = again(vm);
	}
}

static void test_a_medium_that_goes_while_reading(void **state)
{
	struct vm *vm = make_rebooted();

	(void)state;
	for (u32 i = 0; i < ARRAY_COUNT(ways); i++) {
		bool cut = true;

		for (u32 step = 1; cut; step++) {
			enum hv_error err;

			host_files.cut_at = host_files.steps + step;
			err = restore_as(ways[i].vm, INTENT_RESUME, ways[i].lazy);
			cut = host_files.off;
			assert_true(!err == !cut);
			if (err)
				assert_untouched(vm);
			host_files_reboot();
		}
		vm = again(vm);
	}
}

/* It has been replaced by then, and must not run with an id that another has. */
static void test_the_page_of_the_id_is_damaged(void **state)
{
	const u64 last = 4 + ARRAY_COUNT(filled); /* in the file */
	struct vm *vm = make_rebooted();

	(void)state;
	flip(8 * last * PAGE_SIZE);
	for (u32 i = 0; i < 2; i++) {
		assert_int_equal(restore_as(i ? "two" : "one", INTENT_ROLLBACK, true),
				 HV_ENO_MEMORY);
		assert_says("was restored, but its new id can't be written: its memory in "
			    "snapshot s can't be read: page at c0000000h is damaged; it must "
			    "not run with the old one");
		/* One that was made for it is gone again. */
		assert_null(vm_find("two"));
	}
	assert_int_equal(vm->state, VM_FAILED);
	assert_string_equal(vm->cause,
			    "its memory in snapshot s can't be read: page at c0000000h is damaged");
	flip(8 * last * PAGE_SIZE);
	assert_int_equal(restore_as("two", INTENT_ROLLBACK, true), HV_OK);
	assert_filled(vm_find("two"), VERSION);
}

static void test_each_allocation_of_restoring_fails(void **state)
{
	struct vm *vm = make_rebooted();

	(void)state;
	for (u32 i = 0; i < ARRAY_COUNT(ways); i++) {
		enum hv_error err = HV_ENO_MEMORY;
		u32 call;

		for (call = 1; err; call++) {
			world.fail_at = world.calls + call;
			err = restore_as(ways[i].vm, INTENT_ROLLBACK, ways[i].lazy);
			world.fail_at = 0;
			assert_true(!err || err == HV_ENO_MEMORY);
			if (err)
				assert_untouched(vm);
		}
		assert_true(call > 3);
		assert_filled(vm_find(ways[i].vm), VERSION);
		vm = again(vm);
	}
}

/* A machine without memory for it says so before anything is replaced. */
static void test_no_guest_memory(void **state)
{
	struct vm *vm = make_rebooted();

	(void)state;
	for (u32 i = 0; i < ARRAY_COUNT(ways); i++) {
		void *pages = NULL;

		world.blocks = 0;
		for (void *page; (page = pool_alloc_page(&machine_pool));) {
			*(void **)page = pages;
			pages = page;
		}
		assert_int_equal(restore_as(ways[i].vm, INTENT_ROLLBACK, ways[i].lazy),
				 HV_ENO_MEMORY);
		while (pages) {
			void *next = *(void **)pages;

			pool_unref(&machine_pool, pages);
			pages = next;
		}
		world.blocks = WORLD_BLOCKS;
		assert_untouched(vm);
	}
}

static void test_no_entropy(void **state)
{
	struct vm *vm = make_rebooted();

	(void)state;
	world.no_entropy = true;
	for (u32 i = 0; i < ARRAY_COUNT(ways); i++) {
		assert_int_equal(restore_as(ways[i].vm, INTENT_CLONE, ways[i].lazy),
				 HV_ENO_ENTROPY);
		assert_says("no new id for");
		assert_untouched(vm);
		/* Neither its state nor its memory was read for nothing. */
		assert_null(snapshot_find("s")->records);
		assert_null(snapshot_find("s")->image.root);
	}
	assert_int_equal(take(vm, "t", SNAPSHOT_STORED), HV_ENO_ENTROPY);
	assert_says("no id for the snapshot");
	assert_int_equal(restore(INTENT_MIGRATE), HV_OK);
	assert_filled(vm, VERSION);
}

static void test_check_reads_every_byte(void **state)
{
	struct vm *vm = make_rebooted();
	u64 size;

	(void)state;
	assert_non_null(host_files_bytes(PATH, &size));
	assert_int_equal(stored_check(snapshot_find("s"), NULL, why), HV_OK);
	for (u64 at = PAGE_SIZE; at < size; at += 331) {
		flip(8 * at);
		assert_int_equal(stored_check(snapshot_find("s"), NULL, why), HV_ECORRUPT);
		assert_says("snapshot s can't be used: ");
		flip(8 * at);
	}
	assert_int_equal(take(vm, "m", SNAPSHOT_MEMORY), HV_OK);
	assert_int_equal(stored_check(snapshot_find("m"), NULL, why), HV_ENOT_FOUND);
	assert_says("snapshot m is in memory alone");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		STORED_TEST(test_power_off_and_on),
		STORED_TEST(test_reset_after_power_off),
		STORED_TEST(test_in_place_with_a_new_id),
		STORED_TEST(test_the_parent_is_remembered),
		STORED_TEST(test_a_reboot_while_writing_ends_the_lineage),
		STORED_TEST(test_clones),
		STORED_TEST(test_other_vm_and_paused),
		STORED_TEST(test_another_machine_is_replaced),
		STORED_TEST(test_names_that_are_one_file),
		STORED_TEST(test_not_in_the_table),
		STORED_TEST(test_other_files_stay),
		STORED_TEST(test_replaced_while_another_vm_needs_it),
		STORED_TEST(test_each_step_of_writing_fails),
		STORED_TEST(test_each_step_of_replacing_fails),
		STORED_TEST(test_no_room_on_the_volume),
		STORED_TEST(test_each_allocation_of_taking_fails),
		STORED_TEST(test_each_step_of_reading_fails),
		STORED_TEST(test_a_medium_that_goes_while_reading),
		STORED_TEST(test_the_page_of_the_id_is_damaged),
		STORED_TEST(test_each_allocation_of_restoring_fails),
		STORED_TEST(test_no_guest_memory),
		STORED_TEST(test_no_entropy),
		STORED_TEST(test_check_reads_every_byte),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
