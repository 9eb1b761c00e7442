/* SPDX-License-Identifier: MIT */
/*
 * What the tests of snapshots on a volume have in common: a VM `one` and its snapshot `s`.
 */
#ifndef TESTS_STORED_SCENE_H
#define TESTS_STORED_SCENE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "stored_machine.h"

#define PATH    "snapshots/s~0.snap"
#define VERSION 1u /* of the pages in the snapshot */
#define LATER   2u

/* In a block, in two others, and in single pages. */
static const u64 filled[] = {
	0x1000, 0x3000, MIB(2) + 0x5000, MACHINE_RAM2, MACHINE_RAM2 + MIB(2) + 0x2000,
};

static char why[SNAPSHOT_WHY_MAX];

/* One line, for a person. */
static inline void assert_reason(void)
{
	size_t length = strnlen(why, sizeof(why));

	assert_true(length > 10 && length < sizeof(why));
	for (size_t i = 0; i < length; i++)
		assert_true(why[i] >= ' ' && why[i] <= '~');
}

static inline void assert_says(const char *wanted)
{
	if (!strstr(why, wanted))
		fail_msg("\"%s\" does not say \"%s\"", why, wanted);
	assert_reason();
}

/* ---- machines ---- */

static inline void fill(struct vm *vm, u32 version)
{
	for (u32 i = 0; i < ARRAY_COUNT(filled); i++)
		machine_fill(vm, filled[i], version);
	machine_of(vm)->thing.value = version;
}

static inline void assert_filled(struct vm *vm, u32 version)
{
	for (u32 i = 0; i < ARRAY_COUNT(filled); i++)
		assert_true(machine_is(vm, filled[i], version));
	assert_int_equal(machine_of(vm)->thing.value, version);
}

static inline enum hv_error take(struct vm *vm, const char *name, u32 how)
{
	struct snapshot *s = NULL;

	why[0] = 0;
	return snapshot_take(vm, name, how, NULL, &s, why);
}

/* A VM `one` whose snapshot `s` is on the volume, and which has gone on since. */
static inline struct vm *make_stored(void)
{
	struct vm *vm = machine_make("one");

	fill(vm, VERSION);
	assert_int_equal(take(vm, "s", SNAPSHOT_STORED), HV_OK);
	fill(vm, LATER);
	return vm;
}

/* The same after a reboot, with nothing of it in memory. */
static inline struct vm *make_rebooted(void)
{
	struct vm *vm;

	make_stored();
	world_reboot();
	vm = machine_make("one");
	fill(vm, LATER);
	return vm;
}

static inline enum hv_error restore_as(const char *name, enum restore_intent intent, bool lazy)
{
	const struct restore_request request = {.intent = intent, .lazy = lazy, .vm = name};
	struct snapshot *s = snapshot_find("s");
	struct vm *vm;

	assert_non_null(s);
	why[0] = 0;
	return snapshot_restore(s, &request, &vm, why);
}

static inline enum hv_error restore(enum restore_intent intent)
{
	return restore_as(NULL, intent, false);
}

/* How a restore of `s` can be asked for. */
static const struct way {
	const char *vm;
	bool lazy;
} ways[] = {{"one", false}, {"one", true}, {"two", false}, {"two", true}};

/* It was refused: `one` is as it was, and there is no other. */
static inline void assert_untouched(struct vm *vm)
{
	assert_reason();
	assert_ptr_equal(vm_first(), vm);
	assert_null(vm->next);
	assert_int_equal(vm->state, VM_RUNNING);
	assert_null(vm->mem.source);
	assert_int_equal(machine_of(vm)->thing.loads, 0);
	assert_filled(vm, LATER);
	assert_int_equal(host_files_open(), 0);
}

/* `one` as it was before, with nothing of the snapshot in memory. */
static inline struct vm *again(struct vm *vm)
{
	vm_destroy(vm);
	if (vm_first())
		vm_destroy(vm_first());
	snapshot_fini();
	snapshot_init("snapshots");
	vm = machine_make("one");
	fill(vm, LATER);
	return vm;
}

static inline void flip(u64 bit)
{
	u64 size;
	u8 *bytes = host_files_bytes(PATH, &size);

	assert_non_null(bytes);
	bytes[bit / 8] ^= (u8)BIT(bit % 8);
}

static inline int setup(void **state)
{
	(void)state;
	world_begin();
	why[0] = 0;
	return 0;
}

static inline int teardown(void **state)
{
	(void)state;
	world_end();
	return 0;
}

#define STORED_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

#endif
