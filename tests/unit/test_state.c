/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <hv/state.h>
#include <string.h>

struct thing {
	u64 wide;
	u16 row[3];
	u8 latch;
	u8 pad;
	void *wiring;
};

static void thing_before_save(void *obj)
{
	((struct thing *)obj)->latch++;
}

#define THING_FIELDS(SAVED, TRANSIENT)                                                             \
	SAVED(struct thing, wide)                                                                  \
	SAVED(struct thing, row)                                                                   \
	SAVED(struct thing, latch)                                                                 \
	TRANSIENT(struct thing, pad, "padding")                                                    \
	TRANSIENT(struct thing, wiring, "wiring")

extern const struct state_desc thing_state;
STATE_DEFINE(thing_state, "thing", 3, struct thing, THING_FIELDS, .before_save = thing_before_save);

static void test_description(void **state)
{
	(void)state;
	assert_string_equal(thing_state.name, "thing");
	assert_int_equal(thing_state.version, 3);
	assert_int_equal(thing_state.field_count, 3);
	assert_int_equal(state_packed_size(&thing_state), 8 + 6 + 1);
}

static void test_pack_and_unpack(void **state)
{
	struct thing from = {.wide = 0x1122334455667788, .row = {1, 2, 3}, .latch = 6};
	struct thing to = {.pad = 9, .wiring = &to};
	u8 buf[16];

	(void)state;
	memset(buf, 0xee, sizeof(buf));
	state_pack(&thing_state, &from, buf);
	assert_int_equal(from.latch, 7);
	assert_int_equal(buf[0], 0x88);
	assert_int_equal(buf[8], 1);
	assert_int_equal(buf[14], 7);
	assert_int_equal(buf[15], 0xee);
	state_unpack(&thing_state, &to, buf);
	assert_int_equal(to.wide, from.wide);
	assert_memory_equal(to.row, from.row, sizeof(to.row));
	assert_int_equal(to.latch, 7);
	assert_int_equal(to.pad, 9);
	assert_ptr_equal(to.wiring, &to);
}

/* In another order than that of the structure, which is allowed, and with fields in between. */
#define MIXED_FIELDS(SAVED, TRANSIENT)                                                             \
	SAVED(struct thing, latch)                                                                 \
	SAVED(struct thing, wide)                                                                  \
	TRANSIENT(struct thing, row, "of no use")                                                  \
	TRANSIENT(struct thing, pad, "padding")                                                    \
	TRANSIENT(struct thing, wiring, "wiring")

extern const struct state_desc mixed_state;
STATE_DEFINE(mixed_state, "mixed", 1, struct thing, MIXED_FIELDS);

static void check_copy(const struct state_desc *desc)
{
	struct thing from = {.wide = 0x1122334455667788, .row = {1, 2, 3}, .latch = 6};
	struct thing to = {.wide = 4, .row = {5, 6, 7}, .latch = 8, .pad = 9, .wiring = &to};
	struct thing copy, before = to;
	u8 buf[16];

	memset(&copy, 0xee, sizeof(copy));
	state_pack(desc, &from, buf);
	state_unpack_copy(desc, &copy, &to, buf);
	assert_memory_equal(&to, &before, sizeof(to));
	state_unpack(desc, &to, buf);
	assert_memory_equal(&copy, &to, sizeof(to));
}

static void test_unpack_a_copy(void **state)
{
	(void)state;
	check_copy(&thing_state);
	check_copy(&mixed_state);
}

static void test_error_texts(void **state)
{
	(void)state;
	assert_string_equal(hv_error_text(HV_OK), "ok");
	assert_string_equal(hv_error_text(HV_ENO_ENTROPY), "no entropy");
	assert_non_null(hv_error_text((enum hv_error) - 99));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_description),
		cmocka_unit_test(test_pack_and_unpack),
		cmocka_unit_test(test_unpack_a_copy),
		cmocka_unit_test(test_error_texts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
