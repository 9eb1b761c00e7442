/* SPDX-License-Identifier: MIT */
#include "vm_doubles.h"

#include <setjmp.h>
#include <cmocka.h>
#include <internal/snapshot.h>

static struct double_vm *const d = &double_vms[0];
static char why[SNAPSHOT_WHY_MAX];

static int setup(void **state)
{
	(void)state;
	double_reset(1);
	why[0] = 0;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	snapshot_fini();
	double_stored.stored = false;
	return 0;
}

/* ---- records ---- */

static u8 *save(size_t *length)
{
	u8 *buf;

	*length = records_size(d->vm.records, d->vm.record_count);
	buf = malloc(*length);
	assert_non_null(buf);
	records_save(d->vm.records, d->vm.record_count, buf);
	return buf;
}

/* All three passes over a copy of its exact size. */
static enum hv_error load(const u8 *buf, size_t length)
{
	struct records_index index;
	u8 *copy = malloc(length ? length : 1);
	enum hv_error err;

	assert_non_null(copy);
	memcpy(copy, buf, length);
	err = records_parse(d->vm.records, d->vm.record_count, copy, length, &index, why);
	if (!err)
		err = records_check(d->vm.records, d->vm.record_count, &index, why);
	if (!err) {
		records_commit(d->vm.records, d->vm.record_count, &index);
		records_after_load(d->vm.records, d->vm.record_count);
	}
	free(copy);
	return err;
}

static void test_records_round_trip(void **state)
{
	size_t length, again_length;
	u8 *first, *again;
	u8 id[VMGENID_BYTES];

	(void)state;
	d->state = (struct double_state){.value = 0x12345678, .flag = 1};
	memcpy(id, d->genid.id, sizeof(id));
	first = save(&length);
	assert_int_equal(length, 3 * sizeof(struct record_header) + 5 + (16 + 8 + 8 + 4) +
					 (8 + 8 + 8 + 4 + 4));
	d->state = (struct double_state){.value = 1, .loads = 7};
	assert_int_equal(vmgenid_rotate(&d->genid), HV_OK);
	assert_int_equal(load(first, length), HV_OK);
	assert_int_equal(d->state.value, 0x12345678);
	assert_int_equal(d->state.flag, 1);
	assert_int_equal(d->state.loads, 8);
	assert_memory_equal(d->genid.id, id, sizeof(id));
	assert_ptr_equal(d->genid.line.chip, &double_chip);
	again = save(&again_length);
	assert_int_equal(again_length, length);
	assert_memory_equal(again, first, length);
	d->state.value++;
	free(again);
	again = save(&again_length);
	assert_memory_not_equal(again, first, length);
	free(first);
	free(again);
}

static void test_records_of_any_order(void **state)
{
	size_t length, half;
	u8 *buf, *turned;

	(void)state;
	buf = save(&length);
	half = sizeof(struct record_header) + state_packed_size(&double_desc);
	turned = malloc(length);
	assert_non_null(turned);
	memcpy(turned, buf + half, length - half);
	memcpy(turned + length - half, buf, half);
	assert_int_equal(load(turned, length), HV_OK);

	/* The same one twice, the other not at all. */
	memcpy(turned, buf, half);
	assert_int_equal(load(turned, half), HV_ECORRUPT);
	assert_non_null(strstr(why, "record vmgenid.0: is missing"));
	free(turned);
	turned = malloc(2 * half);
	assert_non_null(turned);
	memcpy(turned, buf, half);
	memcpy(turned + half, buf, half);
	assert_int_equal(load(turned, 2 * half), HV_ECORRUPT);
	assert_non_null(strstr(why, "record double.0: there are two of it"));
	free(turned);
	free(buf);
}

static void unchanged(const struct double_state *before, const struct vmgenid *genid)
{
	assert_memory_equal(&d->state, before, sizeof(*before));
	assert_memory_equal(&d->genid, genid, sizeof(*genid));
}

static void test_every_truncation(void **state)
{
	struct double_state before;
	struct vmgenid genid;
	size_t length;
	u8 *buf;

	(void)state;
	buf = save(&length);
	d->state.value = 99;
	before = d->state;
	genid = d->genid;
	for (size_t cut = 0; cut < length; cut++) {
		why[0] = 0;
		assert_int_equal(load(buf, cut), HV_ECORRUPT);
		assert_true(why[0]);
		unchanged(&before, &genid);
	}
	free(buf);
}

static void test_every_header_bit(void **state)
{
	struct double_state before;
	struct vmgenid genid;
	size_t length, header = 0;
	u8 *buf;

	(void)state;
	buf = save(&length);
	d->state.value = 99;
	before = d->state;
	genid = d->genid;
	for (u32 i = 0; i < d->vm.record_count; i++) {
		for (size_t bit = 0; bit < sizeof(struct record_header) * 8; bit++) {
			u8 *byte = &buf[header + bit / 8];

			*byte = (u8)(*byte ^ 1u << bit % 8);
			why[0] = 0;
			assert_true(load(buf, length) != HV_OK);
			assert_true(why[0]);
			unchanged(&before, &genid);
			*byte = (u8)(*byte ^ 1u << bit % 8);
		}
		header += sizeof(struct record_header) + state_packed_size(d->vm.records[i].desc);
	}
	assert_int_equal(header, length);
	assert_int_equal(load(buf, length), HV_OK);
	free(buf);
}

static void test_refused_value(void **state)
{
	struct double_state before;
	struct vmgenid genid;
	size_t length;
	u8 *buf;

	(void)state;
	buf = save(&length);
	before = d->state;
	genid = d->genid;
	buf[sizeof(struct record_header) + 4] = 2;
	assert_int_equal(load(buf, length), HV_EINVALID);
	assert_string_equal(why, "record double.0: flag is neither 0 nor 1");
	unchanged(&before, &genid);
	free(buf);
}

/* ---- snapshots ---- */

static enum hv_error double_write_nothing(void *ctx, gpa_t to, const void *buf, size_t length)
{
	(void)ctx;
	(void)to;
	(void)buf;
	(void)length;
	return HV_ENO_MEMORY;
}

static struct snapshot *take_how(const char *name, u32 how)
{
	struct snapshot *s = NULL;

	assert_int_equal(snapshot_take(&d->vm, name, how, NULL, &s, why), HV_OK);
	return s;
}

static struct snapshot *take(const char *name)
{
	return take_how(name, SNAPSHOT_MEMORY);
}

static enum hv_error restore(struct snapshot *s, enum restore_intent intent, bool paused)
{
	const struct restore_request request = {
		.intent = intent, .paused = paused, .started = arch_counter()};
	struct vm *vm;

	return snapshot_restore(s, &request, &vm, why);
}

static void test_take_and_restore(void **state)
{
	struct snapshot *s;
	u8 old_id[VMGENID_BYTES];
	struct vmclock old_clock;

	(void)state;
	d->state.value = 5;
	d->memory[0] = 0xaa;
	memcpy(old_id, d->genid.id, sizeof(old_id));
	old_clock = d->vmclock;
	s = take("first");
	assert_int_equal(d->vm.state, VM_RUNNING);
	d->state.value = 6;
	d->memory[0] = 0xbb;
	d->vm.first_entry_counter = 1;

	assert_int_equal(restore(s, INTENT_ROLLBACK, false), HV_OK);
	assert_int_equal(d->state.value, 5);
	assert_int_equal(d->memory[0], 0xaa);
	assert_int_equal(d->vm.state, VM_RUNNING);
	assert_int_equal(d->vm.first_entry_counter, 0);
	assert_memory_not_equal(d->genid.id, old_id, sizeof(old_id));
	assert_memory_equal(d->memory + DOUBLE_ADDRESS, d->genid.id, VMGENID_BYTES);
	assert_int_equal(d->edges, 1);
	assert_true(d->id_before_edge);
	assert_true(d->vmclock.marker != old_clock.marker);
	assert_true(d->vmclock.generation != old_clock.generation);
	assert_int_equal(d->clock_edges, 1);
	assert_true(d->clock_before_edge);

	/* The counter was disrupted, and that is all. */
	assert_int_equal(restore(s, INTENT_MIGRATE, false), HV_OK);
	assert_memory_equal(d->genid.id, old_id, sizeof(old_id));
	assert_true(d->vmclock.marker != old_clock.marker);
	assert_true(d->vmclock.generation == old_clock.generation);
	assert_int_equal(d->edges, 1);
	assert_int_equal(d->clock_edges, 2);
	assert_true(d->clock_before_edge);

	/* The same id comes back, and nobody is told. */
	assert_int_equal(restore(s, INTENT_RESUME, false), HV_OK);
	assert_memory_equal(d->genid.id, old_id, sizeof(old_id));
	assert_memory_equal(d->memory + DOUBLE_ADDRESS, old_id, VMGENID_BYTES);
	assert_int_equal(d->edges, 1);
	assert_true(d->vmclock.marker == old_clock.marker);
	assert_true(d->vmclock.generation == old_clock.generation);
	assert_int_equal(d->clock_edges, 2);
}

static void test_state_after_restore(void **state)
{
	struct snapshot *s = take("s");

	(void)state;
	vm_fail(&d->vm, "broken");
	assert_int_equal(restore(s, INTENT_ROLLBACK, false), HV_OK);
	assert_int_equal(d->vm.state, VM_RUNNING);
	assert_string_equal(d->vm.cause, "");
	assert_int_equal(restore(s, INTENT_ROLLBACK, true), HV_OK);
	assert_int_equal(d->vm.state, VM_PAUSED);
	assert_int_equal(restore(s, INTENT_ROLLBACK, false), HV_OK);
	assert_int_equal(d->vm.state, VM_PAUSED);
}

static void test_no_entropy_refuses(void **state)
{
	struct snapshot *s = take("s");
	u8 id[VMGENID_BYTES];

	(void)state;
	d->state.value = 7;
	memcpy(id, d->genid.id, sizeof(id));
	double_no_entropy = true;
	assert_int_equal(restore(s, INTENT_CLONE, false), HV_ENO_ENTROPY);
	assert_int_equal(d->state.value, 7);
	assert_int_equal(d->vm.state, VM_RUNNING);
	assert_memory_equal(d->genid.id, id, sizeof(id));
	assert_int_equal(d->edges, 0);
	assert_int_equal(d->clock_edges, 0);
	/* An intent that keeps the id needs none. */
	assert_int_equal(restore(s, INTENT_MIGRATE, false), HV_OK);
	assert_int_equal(d->state.value, 0);
}

static void test_broken_records_change_nothing(void **state)
{
	struct snapshot *s = take("s");

	(void)state;
	d->state.value = 7;
	d->memory[0] = 1;
	s->records[sizeof(struct record_header) + 4] = 9;
	assert_int_equal(restore(s, INTENT_ROLLBACK, false), HV_EINVALID);
	assert_non_null(strstr(why, "record double.0"));
	assert_int_equal(d->state.value, 7);
	assert_int_equal(d->memory[0], 1);
	assert_int_equal(d->vm.state, VM_RUNNING);
	assert_int_equal(d->edges, 0);
}

static void test_no_memory(void **state)
{
	struct snapshot *s = take("s"), *other;

	(void)state;
	d->state.value = 7;
	double_no_memory = true;
	assert_int_equal(restore(s, INTENT_ROLLBACK, false), HV_ENO_MEMORY);
	assert_int_equal(d->state.value, 7);
	assert_int_equal(d->vm.state, VM_RUNNING);
	assert_int_equal(snapshot_take(&d->vm, "t", SNAPSHOT_MEMORY, NULL, &other, why),
			 HV_ENO_MEMORY);
	assert_null(snapshot_find("t"));
	assert_int_equal(d->vm.state, VM_RUNNING);
}

/* The pool lasts for the layer, but the page of the id can't be written. */
static void test_unwritten_id_fails_the_vm(void **state)
{
	struct snapshot *s = take("s");

	(void)state;
	d->vm.guest_mem.write = double_write_nothing;
	assert_int_equal(restore(s, INTENT_ROLLBACK, false), HV_ENO_MEMORY);
	assert_int_equal(d->vm.state, VM_FAILED);
	assert_non_null(strstr(why, "restore it again"));
	assert_int_equal(d->edges, 0);
	d->vm.guest_mem.write = double_write;
	assert_int_equal(restore(s, INTENT_ROLLBACK, false), HV_OK);
	assert_int_equal(d->vm.state, VM_RUNNING);
}

static void test_names(void **state)
{
	struct snapshot *s = take("s"), *other;

	(void)state;
	assert_ptr_equal(snapshot_find("s"), s);
	assert_int_equal(snapshot_take(&d->vm, "s", SNAPSHOT_MEMORY, NULL, &other, why),
			 HV_EEXISTS);
	assert_int_equal(snapshot_take(&d->vm, "--x", SNAPSHOT_MEMORY, NULL, &other, why),
			 HV_EINVALID);
	vm_fail(&d->vm, "broken");
	assert_int_equal(snapshot_take(&d->vm, "t", SNAPSHOT_MEMORY, NULL, &other, why), HV_EBUSY);
	assert_int_equal(snapshot_delete(s, why), HV_OK);
	assert_null(snapshot_first());
}

static void test_names_of_files(void **state)
{
	struct snapshot *other;

	(void)state;
	take("s");
	assert_int_equal(snapshot_take(&d->vm, "S", SNAPSHOT_MEMORY, NULL, &other, why),
			 HV_EEXISTS);
	assert_int_equal(
		snapshot_take(&d->vm, "S", SNAPSHOT_MEMORY | SNAPSHOT_REPLACE, NULL, &other, why),
		HV_EEXISTS);
}

static void test_replace(void **state)
{
	struct snapshot *s, *other;
	u8 id[STORE_ID];

	(void)state;
	d->state.value = 1;
	s = take_how("s", SNAPSHOT_STORED);
	memcpy(id, s->id, sizeof(id));
	d->state.value = 2;
	double_broken_volume = true;
	assert_int_equal(snapshot_take(&d->vm, "s", SNAPSHOT_REPLACE, NULL, &other, why), HV_EIO);
	assert_ptr_equal(snapshot_find("s"), s);
	double_broken_volume = false;
	assert_int_equal(snapshot_take(&d->vm, "s", SNAPSHOT_REPLACE, NULL, &other, why), HV_OK);
	assert_ptr_equal(snapshot_first(), other);
	assert_null(other->next);
	assert_memory_not_equal(other->id, id, sizeof(id));
	assert_memory_equal(other->parent.id, id, sizeof(id));
	d->state.value = 3;
	assert_int_equal(restore(other, INTENT_ROLLBACK, false), HV_OK);
	assert_int_equal(d->state.value, 2);
	/* It would be there again after the next start. */
	assert_int_equal(
		snapshot_take(&d->vm, "s", SNAPSHOT_REPLACE | SNAPSHOT_MEMORY, NULL, &other, why),
		HV_EEXISTS);
}

static void test_lineage(void **state)
{
	struct snapshot *first, *second;

	(void)state;
	first = take("first");
	assert_string_equal(first->parent.name, "");
	second = take("second");
	assert_string_equal(second->parent.name, "first");
	assert_memory_equal(second->parent.id, first->id, STORE_ID);
	assert_int_equal(restore(first, INTENT_ROLLBACK, false), HV_OK);
	assert_string_equal(take("third")->parent.name, "first");
}

/* As after the power was off: only the volume has it. */
static void test_comes_back_from_the_volume(void **state)
{
	struct snapshot *s;
	u8 id[VMGENID_BYTES];

	(void)state;
	d->state.value = 4;
	d->memory[1] = 0x44;
	take_how("s", SNAPSHOT_STORED);
	memcpy(id, d->genid.id, sizeof(id));
	snapshot_fini();
	double_reset(0);
	snapshot_init("snapshots");
	s = snapshot_find("s");
	assert_non_null(s);
	assert_null(s->image.root);
	assert_string_equal(s->config.name, "one");

	/* There is no VM: it is made, and runs. */
	assert_int_equal(restore(s, INTENT_RESUME, false), HV_OK);
	assert_ptr_equal(vm_first(), &d->vm);
	assert_int_equal(d->vm.state, VM_RUNNING);
	assert_int_equal(d->state.value, 4);
	assert_int_equal(d->memory[1], 0x44);
	assert_memory_equal(d->genid.id, id, sizeof(id));
	assert_string_equal(d->vm.lineage.name, "s");
	assert_int_equal(snapshot_delete(s, why), HV_OK);
	assert_false(double_stored.stored);
}

static void test_what_fails_leaves_no_vm(void **state)
{
	struct snapshot *s;

	(void)state;
	take_how("s", SNAPSHOT_STORED);
	snapshot_fini();
	double_reset(0);
	snapshot_init("snapshots");
	s = snapshot_find("s");
	double_no_entropy = true;
	assert_int_equal(restore(s, INTENT_IMPORT, false), HV_ENO_ENTROPY);
	assert_null(vm_first());
	assert_null(s->image.root);
	double_no_entropy = false;
	double_stored_records[sizeof(struct record_header) + 4] = 9;
	assert_int_equal(restore(s, INTENT_IMPORT, false), HV_EINVALID);
	assert_null(vm_first());
	double_broken_volume = true;
	assert_int_equal(snapshot_delete(s, why), HV_EIO);
	assert_ptr_equal(snapshot_find("s"), s);
}

static void test_damaged_files_are_listed(void **state)
{
	struct snapshot *s;

	(void)state;
	take_how("s", SNAPSHOT_STORED);
	snapshot_fini();
	double_broken_volume = true;
	snapshot_init("snapshots");
	s = snapshot_find("s");
	assert_string_equal(s->damage, "half of it is missing");
	assert_int_equal(restore(s, INTENT_RESUME, false), HV_EIO);
}

static void test_another_machine_is_replaced(void **state)
{
	struct double_vm *made = &double_vms[2]; /* the first that is made comes to nothing */
	struct snapshot *s;

	(void)state;
	console_init_vm(&d->vm);
	d->state.value = 5;
	s = take("s");
	d->vm.config.memory = MIB(128);
	d->state.value = 7;
	assert_int_equal(chardev_write(&d->vm.chardev, (const u8 *)"hello", 5), 5);

	/* Not with what there is no id for: the VM stays as it is. */
	double_no_entropy = true;
	assert_int_equal(restore(s, INTENT_ROLLBACK, false), HV_ENO_ENTROPY);
	assert_ptr_equal(vm_find("one"), &d->vm);
	assert_int_equal(d->state.value, 7);
	assert_null(d->vm.next);

	double_no_entropy = false;
	assert_int_equal(restore(s, INTENT_ROLLBACK, false), HV_OK);
	assert_ptr_equal(vm_find("one"), &made->vm);
	assert_null(made->vm.next);
	assert_int_equal(made->state.value, 5);
	assert_int_equal(made->vm.state, VM_RUNNING);
	assert_int_equal(made->edges, 1);
	/* It has the console of the one before. */
	assert_int_equal(made->vm.console.out_head, 5);
	assert_int_equal(d->vm.console.out_head, 0);
}

static void test_clones(void **state)
{
	const struct restore_request request = {.paused = false};
	u8 id[VMGENID_BYTES];
	struct snapshot *s;
	struct vm *vm;

	(void)state;
	d->state.value = 5;
	memcpy(id, d->genid.id, sizeof(id));
	s = take("s");
	for (u32 i = 1; i <= 2; i++) {
		struct double_vm *clone = &double_vms[i];

		assert_int_equal(snapshot_clone(s, &request, &vm, why), HV_OK);
		assert_ptr_equal(vm, &clone->vm);
		assert_string_equal(vm->config.name, i == 1 ? "one-1" : "one-2");
		assert_int_equal(vm->state, VM_RUNNING);
		assert_ptr_equal(double_next, vm);
		assert_int_equal(vm->restore.intent, INTENT_CLONE);
		assert_int_equal(clone->state.value, 5);
		assert_int_equal(clone->edges, 1);
		assert_true(clone->id_before_edge);
		assert_memory_not_equal(clone->genid.id, id, sizeof(id));
		assert_string_equal(vm->lineage.name, "s");
	}
	assert_memory_not_equal(double_vms[1].genid.id, double_vms[2].genid.id, VMGENID_BYTES);
	/* The source goes on with the id it has, and the lowest name that is free comes next. */
	assert_memory_equal(d->genid.id, id, sizeof(id));
	assert_int_equal(d->edges, 0);
	vm_destroy(&double_vms[1].vm);
	assert_int_equal(snapshot_clone(s, &request, &vm, why), HV_OK);
	assert_string_equal(vm->config.name, "one-1");

	double_no_entropy = true;
	assert_int_equal(snapshot_clone(s, &request, &vm, why), HV_ENO_ENTROPY);
	assert_null(vm_find("one-3"));
	double_no_entropy = false;
	double_make("one-3");
	assert_int_equal(snapshot_clone(s, &request, &vm, why), HV_OK);
	assert_string_equal(vm->config.name, "one-4");
}

static void test_long_names_of_clones(void **state)
{
	static const char name[] = "a234567890b234567890c234567890d";
	const struct restore_request request = {.paused = true};
	struct snapshot *s;
	struct vm *vm;

	(void)state;
	static_assert(sizeof(name) == CONFIG_NAME_MAX, "as long as can be");
	memcpy(d->vm.config.name, name, sizeof(name));
	s = take("s");
	assert_int_equal(snapshot_clone(s, &request, &vm, why), HV_OK);
	assert_string_equal(vm->config.name, "a234567890b234567890c23456789-1");
	assert_int_equal(vm->state, VM_PAUSED);
}

/* Two VMs never have the same id, whatever the intent says. */
static void test_an_id_of_another_vm(void **state)
{
	struct restore_request request = {.intent = INTENT_RESUME, .vm = "other"};
	struct snapshot *s = take("s");
	struct vm *vm;

	(void)state;
	assert_int_equal(snapshot_restore(s, &request, &vm, why), HV_EEXISTS);
	assert_string_equal(why, "one has the id of snapshot s already, and two VMs must not share "
				 "it; choose an intent with a new id");
	assert_null(vm_find("other"));
	request.intent = INTENT_CLONE;
	assert_int_equal(snapshot_restore(s, &request, &vm, why), HV_OK);
	/* The one that it was taken of may have it back. */
	assert_int_equal(restore(s, INTENT_RESUME, false), HV_OK);
}

static void test_images_are_dropped_for_memory(void **state)
{
	struct snapshot *kept, *stored;

	(void)state;
	d->state.value = 4;
	kept = take("kept");
	stored = take_how("stored", SNAPSHOT_STORED);
	assert_true(snapshot_drop_image());
	assert_null(stored->image.root);
	assert_non_null(kept->image.root);
	assert_false(snapshot_drop_image());
	d->state.value = 5;
	assert_int_equal(restore(stored, INTENT_ROLLBACK, false), HV_OK);
	assert_int_equal(d->state.value, 4);
}

static void test_the_volume_is_looked_at_again(void **state)
{
	struct snapshot *s;

	(void)state;
	take_how("s", SNAPSHOT_STORED);
	double_stored.stored = false;
	snapshot_scan();
	s = snapshot_find("s");
	assert_false(s->stored);
	assert_non_null(s->image.root);
	double_stored.stored = true;
	snapshot_scan();
	assert_true(s->stored);
	assert_true(snapshot_drop_image());
	double_stored.stored = false;
	snapshot_scan();
	assert_null(snapshot_find("s"));
	double_stored.stored = true;
	snapshot_scan();
	assert_non_null(snapshot_find("s"));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_records_round_trip),
		TEST(test_records_of_any_order),
		TEST(test_every_truncation),
		TEST(test_every_header_bit),
		TEST(test_refused_value),
		TEST(test_take_and_restore),
		TEST(test_state_after_restore),
		TEST(test_no_entropy_refuses),
		TEST(test_broken_records_change_nothing),
		TEST(test_no_memory),
		TEST(test_unwritten_id_fails_the_vm),
		TEST(test_names),
		TEST(test_names_of_files),
		TEST(test_replace),
		TEST(test_lineage),
		TEST(test_comes_back_from_the_volume),
		TEST(test_what_fails_leaves_no_vm),
		TEST(test_damaged_files_are_listed),
		TEST(test_another_machine_is_replaced),
		TEST(test_clones),
		TEST(test_an_id_of_another_vm),
		TEST(test_images_are_dropped_for_memory),
		TEST(test_the_volume_is_looked_at_again),
		TEST(test_long_names_of_clones),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
