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
	while (snapshot_first())
		snapshot_delete(snapshot_first());
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
	assert_int_equal(length, 2 * sizeof(struct record_header) + 5 + 16 + 8 + 8 + 4);
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

static struct snapshot *take(const char *name)
{
	struct snapshot *s = NULL;

	assert_int_equal(snapshot_take(&d->vm, name, &s, why), HV_OK);
	return s;
}

static void test_take_and_restore(void **state)
{
	struct snapshot *s;
	u8 old_id[VMGENID_BYTES];

	(void)state;
	d->state.value = 5;
	d->memory[0] = 0xaa;
	memcpy(old_id, d->genid.id, sizeof(old_id));
	s = take("first");
	assert_int_equal(d->vm.state, VM_RUNNING);
	assert_true(d->vm.vcpus[0].pending & PENDING_FLUSH);
	d->state.value = 6;
	d->memory[0] = 0xbb;
	d->vm.first_entry_counter = 1;

	assert_int_equal(snapshot_restore(s, INTENT_ROLLBACK, false, arch_counter(), why), HV_OK);
	assert_int_equal(d->state.value, 5);
	assert_int_equal(d->memory[0], 0xaa);
	assert_int_equal(d->vm.state, VM_RUNNING);
	assert_int_equal(d->vm.first_entry_counter, 0);
	assert_memory_not_equal(d->genid.id, old_id, sizeof(old_id));
	assert_memory_equal(d->memory + DOUBLE_ADDRESS, d->genid.id, VMGENID_BYTES);
	assert_int_equal(d->edges, 1);
	assert_true(d->id_before_edge);

	/* The same id comes back, and nobody is told. */
	assert_int_equal(snapshot_restore(s, INTENT_RESUME, false, arch_counter(), why), HV_OK);
	assert_memory_equal(d->genid.id, old_id, sizeof(old_id));
	assert_memory_equal(d->memory + DOUBLE_ADDRESS, old_id, VMGENID_BYTES);
	assert_int_equal(d->edges, 1);
}

static void test_state_after_restore(void **state)
{
	struct snapshot *s = take("s");

	(void)state;
	vm_fail(&d->vm, "broken");
	assert_int_equal(snapshot_restore(s, INTENT_ROLLBACK, false, 0, why), HV_OK);
	assert_int_equal(d->vm.state, VM_RUNNING);
	assert_string_equal(d->vm.cause, "");
	assert_int_equal(snapshot_restore(s, INTENT_ROLLBACK, true, 0, why), HV_OK);
	assert_int_equal(d->vm.state, VM_PAUSED);
	assert_int_equal(snapshot_restore(s, INTENT_ROLLBACK, false, 0, why), HV_OK);
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
	assert_int_equal(snapshot_restore(s, INTENT_CLONE, false, 0, why), HV_ENO_ENTROPY);
	assert_int_equal(d->state.value, 7);
	assert_int_equal(d->vm.state, VM_RUNNING);
	assert_memory_equal(d->genid.id, id, sizeof(id));
	assert_int_equal(d->edges, 0);
	/* An intent that keeps the id needs none. */
	assert_int_equal(snapshot_restore(s, INTENT_MIGRATE, false, 0, why), HV_OK);
	assert_int_equal(d->state.value, 0);
}

static void test_broken_records_change_nothing(void **state)
{
	struct snapshot *s = take("s");

	(void)state;
	d->state.value = 7;
	d->memory[0] = 1;
	s->records[sizeof(struct record_header) + 4] = 9;
	assert_int_equal(snapshot_restore(s, INTENT_ROLLBACK, false, 0, why), HV_EINVALID);
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
	assert_int_equal(snapshot_restore(s, INTENT_ROLLBACK, false, 0, why), HV_ENO_MEMORY);
	assert_int_equal(d->state.value, 7);
	assert_int_equal(d->vm.state, VM_RUNNING);
	assert_int_equal(snapshot_take(&d->vm, "t", &other, why), HV_ENO_MEMORY);
	assert_null(snapshot_find("t"));
	assert_int_equal(d->vm.state, VM_RUNNING);
}

/* The pool lasts for the layer, but the page of the id can't be written. */
static void test_unwritten_id_fails_the_vm(void **state)
{
	struct snapshot *s = take("s");

	(void)state;
	d->vm.guest_mem.write = double_write_nothing;
	assert_int_equal(snapshot_restore(s, INTENT_ROLLBACK, false, 0, why), HV_ENO_MEMORY);
	assert_int_equal(d->vm.state, VM_FAILED);
	assert_non_null(strstr(why, "restore it again"));
	assert_int_equal(d->edges, 0);
	d->vm.guest_mem.write = double_write;
	assert_int_equal(snapshot_restore(s, INTENT_ROLLBACK, false, 0, why), HV_OK);
	assert_int_equal(d->vm.state, VM_RUNNING);
}

static void test_names(void **state)
{
	struct snapshot *s = take("s"), *other;

	(void)state;
	assert_ptr_equal(snapshot_find("s"), s);
	assert_int_equal(snapshot_take(&d->vm, "s", &other, why), HV_EEXISTS);
	assert_int_equal(snapshot_take(&d->vm, "--x", &other, why), HV_EINVALID);
	vm_fail(&d->vm, "broken");
	assert_int_equal(snapshot_take(&d->vm, "t", &other, why), HV_EBUSY);
	snapshot_delete(s);
	assert_null(snapshot_first());
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
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
