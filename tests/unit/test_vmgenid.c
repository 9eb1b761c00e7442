/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <devices/vmgenid.h>

#include "device_fakes.h"

#define ADDRESS (FAKE_MEMORY_BASE + 0x100)

struct board {
	struct fake_memory memory;
	struct fake_irq irq;
	struct fake_rng rng;
	struct resources resources;
	struct vmgenid dev;
};

static enum hv_error alloc_memory(void *ctx, u64 bytes, gpa_t *base)
{
	(void)ctx;
	assert_int_equal(bytes, 16);
	*base = GPA(ADDRESS);
	return HV_OK;
}

static enum hv_error alloc_line(void *ctx, struct irq_line *line)
{
	struct board *b = ctx;

	*line = b->irq.line;
	return HV_OK;
}

static enum hv_error get_line(void *ctx, u32 number, struct irq_line *line)
{
	struct board *b = ctx;

	if (number != b->irq.line.number)
		return HV_ENOT_FOUND;
	*line = b->irq.line;
	return HV_OK;
}

static void board_parts(struct board *b, const char *script)
{
	fake_memory_init(&b->memory);
	fake_irq_init(&b->irq, 5);
	fake_rng_init(&b->rng, (const u8 *)script, strlen(script));
	b->resources = (struct resources){alloc_memory, alloc_line, get_line, b};
}

/* A device whose draws give what @script says; the first will be its id. */
static void board_init(struct board *b, const char *script)
{
	board_parts(b, script);
	assert_int_equal(vmgenid_new(&b->dev, &b->resources, &b->memory.mem, &b->rng.rng), HV_OK);
}

/* The same, with the id in place. */
static void board_active(struct board *b, const char *script)
{
	board_init(b, script);
	assert_int_equal(vmgenid_activate(&b->dev), HV_OK);
}

static const u8 *in_memory(struct board *b)
{
	return b->memory.bytes + 0x100;
}

static void assert_id(struct board *b, u8 byte)
{
	u8 id[16];

	memset(id, byte, sizeof(id));
	assert_memory_equal(b->dev.id, id, 16);
	assert_memory_equal(in_memory(b), id, 16);
}

static void new_and_activate(void **state)
{
	struct board b;

	(void)state;
	board_init(&b, "a");
	assert_int_equal(b.dev.address.v, ADDRESS);
	assert_int_equal(b.dev.line_number, 5);
	assert_int_equal(b.memory.writes, 0);
	assert_int_equal(vmgenid_activate(&b.dev), HV_OK);
	assert_id(&b, 'a');
	assert_int_equal(b.memory.cleans, 1);
	assert_int_equal(b.memory.writes_at_clean, 1);
	assert_int_equal(b.dev.generation, 0);
	assert_int_equal(b.irq.rises, 0);
}

static void activate_without_entropy(void **state)
{
	struct board b;

	(void)state;
	board_init(&b, "");
	assert_int_equal(vmgenid_activate(&b.dev), HV_ENO_ENTROPY);
	assert_int_equal(b.memory.writes, 0);
}

static void activate_keeps_the_id(void **state)
{
	struct board b;

	(void)state;
	board_init(&b, "ab");
	assert_int_equal(vmgenid_activate(&b.dev), HV_OK);
	assert_int_equal(vmgenid_activate(&b.dev), HV_OK);
	assert_id(&b, 'a');
	assert_int_equal(b.memory.writes, 2);
	assert_int_equal(b.rng.draws, 1);
}

static void from_parts(void **state)
{
	struct board b;

	(void)state;
	board_parts(&b, "abcde");
	assert_int_equal(vmgenid_from_parts(&b.dev, &b.resources, &b.memory.mem, &b.rng.rng,
					    GPA(ADDRESS), 5),
			 HV_OK);
	assert_int_equal(vmgenid_activate(&b.dev), HV_OK);
	assert_id(&b, 'a');
	assert_int_equal(vmgenid_from_parts(&b.dev, &b.resources, &b.memory.mem, &b.rng.rng,
					    GPA(ADDRESS + 8), 5),
			 HV_EINVALID);
	assert_int_equal(
		vmgenid_from_parts(&b.dev, &b.resources, &b.memory.mem, &b.rng.rng, GPA(0), 5),
		HV_EINVALID);
	assert_int_equal(vmgenid_from_parts(&b.dev, &b.resources, &b.memory.mem, &b.rng.rng,
					    GPA(ADDRESS), 6),
			 HV_ENOT_FOUND);
}

static void rotate(void **state)
{
	struct board b;

	(void)state;
	board_active(&b, "ab");
	assert_int_equal(vmgenid_rotate(&b.dev), HV_OK);
	assert_id(&b, 'b');
	assert_int_equal(b.dev.generation, 1);
	assert_int_equal(b.memory.writes_at_clean, 2);
	/* The edge is the caller's. */
	assert_int_equal(b.irq.rises, 0);
	vmgenid_notify_guest(&b.dev);
	assert_int_equal(b.irq.rises, 1);
	assert_false(b.irq.level);
}

static void rotate_fails_closed(void **state)
{
	struct board b;

	(void)state;
	board_active(&b, "a");
	assert_int_equal(vmgenid_rotate(&b.dev), HV_ENO_ENTROPY);
	assert_id(&b, 'a');
	assert_int_equal(b.dev.generation, 0);
	assert_int_equal(b.memory.writes, 1);
}

static void rotate_draws_again(void **state)
{
	static const u8 script[] = {'a', 'a', 0, 'a', 0, 'c'};
	struct board b;

	(void)state;
	board_parts(&b, "");
	fake_rng_init(&b.rng, script, sizeof(script));
	assert_int_equal(vmgenid_new(&b.dev, &b.resources, &b.memory.mem, &b.rng.rng), HV_OK);
	assert_int_equal(vmgenid_activate(&b.dev), HV_OK);
	assert_int_equal(vmgenid_rotate(&b.dev), HV_OK);
	assert_int_equal(b.rng.draws, 6);
	assert_id(&b, 'c');
	board_active(&b, "aaaaaab");
	assert_int_equal(vmgenid_rotate(&b.dev), HV_ENO_ENTROPY);
	assert_int_equal(b.rng.draws, 6);
	assert_int_equal(b.dev.id[0], 'a');
	assert_int_equal(b.memory.writes, 1);
}

static void failed_write_changes_nothing(void **state)
{
	struct board b;

	(void)state;
	board_active(&b, "ab");
	b.dev.address = GPA(0x999990);
	assert_int_equal(vmgenid_rotate(&b.dev), HV_ENOT_FOUND);
	assert_int_equal(b.dev.id[0], 'a');
	assert_int_equal(b.dev.generation, 0);
	assert_int_equal(b.memory.cleans, 1);
	board_init(&b, "a");
	b.dev.address = GPA(0x999990);
	assert_int_equal(vmgenid_activate(&b.dev), HV_ENOT_FOUND);
	assert_int_equal(b.dev.id[0], 0);
}

static void update(void **state)
{
	u8 id[16] = {0};
	struct board b;

	(void)state;
	board_init(&b, "a");
	assert_int_equal(vmgenid_update(&b.dev, id), HV_EINVALID);
	assert_int_equal(b.memory.writes, 0);
	memset(id, 'z', sizeof(id));
	assert_int_equal(vmgenid_update(&b.dev, id), HV_OK);
	assert_id(&b, 'z');
	assert_int_equal(b.dev.generation, 1);
	assert_int_equal(vmgenid_update(&b.dev, id), HV_OK);
	assert_int_equal(b.dev.generation, 1);
}

static const u8 sample[16] = {0xaf, 0x6e, 0x4e, 0x32, 0xd1, 0xd1, 0xf6, 0x4b,
			      0xbf, 0x41, 0xb9, 0xbb, 0x6c, 0x91, 0xfb, 0x87};

static void text_forms(void **state)
{
	char text[VMGENID_TEXT_SIZE], words[VMGENID_WORDS_SIZE], small[9];
	u8 id[16];

	(void)state;
	vmgenid_format(sample, text, sizeof(text));
	assert_string_equal(text, "324e6eaf-d1d1-4bf6-bf41-b9bb6c91fb87");
	vmgenid_format_words(sample, words, sizeof(words));
	assert_string_equal(words, "0x4bf6d1d1324e6eaf:0x87fb916cbbb941bf");
	vmgenid_format(sample, small, sizeof(small));
	assert_string_equal(small, "324e6eaf");
	assert_int_equal(vmgenid_parse(text, id), HV_OK);
	assert_memory_equal(id, sample, 16);
	memset(id, 0, 16);
	assert_int_equal(vmgenid_parse(words, id), HV_OK);
	assert_memory_equal(id, sample, 16);
	memset(id, 0, 16);
	assert_int_equal(vmgenid_parse("324E6EAF-D1D1-4BF6-BF41-B9BB6C91FB87", id), HV_OK);
	assert_memory_equal(id, sample, 16);
}

static void texts_that_are_none(void **state)
{
	static const char *const texts[] = {
		"",
		"324e6eaf",
		"324e6eaf-d1d1-4bf6-bf41-b9bb6c91fb8",
		"324e6eaf-d1d1-4bf6-bf41-b9bb6c91fb870",
		"324e6eafd1d14bf6bf41b9bb6c91fb87",
		"324e6eaf-d1d1-4bf6-bf41-b9bb6c91fbxx",
		"324e6eaf-d1d1-4bf6-bf41b9bb6c91fb87-",
		"0x4bf6d1d1324e6eaf",
		"0x4bf6d1d1324e6eaf:",
		"0x4bf6d1d1324e6eaf:0x87fb916cbbb941b",
		"0x4bf6d1d1324e6eaf:0x87fb916cbbb941bf0",
		"4bf6d1d1324e6eaf:87fb916cbbb941bf",
	};
	u8 id[16];

	(void)state;
	memcpy(id, sample, 16);
	for (u32 i = 0; i < ARRAY_COUNT(texts); i++)
		assert_int_equal(vmgenid_parse(texts[i], id), HV_EINVALID);
	assert_memory_equal(id, sample, 16);
}

static void state_round_trip(void **state)
{
	struct board b, fresh;

	(void)state;
	board_active(&b, "ab");
	board_init(&fresh, "x");
	assert_int_equal(vmgenid_rotate(&b.dev), HV_OK);
	assert_true(fake_same_after_load(&vmgenid_state, &b.dev, &fresh.dev));
	assert_int_equal(fresh.dev.generation, 1);
	/* Kept: what is in memory comes with the memory, or by activate. */
	assert_int_equal(vmgenid_activate(&fresh.dev), HV_OK);
	assert_id(&fresh, 'b');
}

static void refuses_broken_state(void **state)
{
	const char *why = NULL;
	struct vmgenid bad;
	struct board b;

	(void)state;
	board_active(&b, "a");
	assert_int_equal(vmgenid_state.check(&b.dev, &why), HV_OK);
	bad = b.dev;
	bad.address.v += 8;
	assert_int_equal(vmgenid_state.check(&bad, &why), HV_EINVALID);
	assert_non_null(why);
	bad.address.v = 0;
	assert_int_equal(vmgenid_state.check(&bad, &why), HV_EINVALID);
	bad.address.v = ADDRESS + 0x1000;
	assert_int_equal(vmgenid_state.check(&bad, &why), HV_EINVALID);
	bad = b.dev;
	bad.line_number++;
	assert_int_equal(vmgenid_state.check(&bad, &why), HV_EINVALID);
	bad = b.dev;
	memset(bad.id, 0, sizeof(bad.id));
	assert_int_equal(vmgenid_state.check(&bad, &why), HV_EINVALID);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(new_and_activate),
		cmocka_unit_test(activate_without_entropy),
		cmocka_unit_test(activate_keeps_the_id),
		cmocka_unit_test(from_parts),
		cmocka_unit_test(rotate),
		cmocka_unit_test(rotate_fails_closed),
		cmocka_unit_test(rotate_draws_again),
		cmocka_unit_test(failed_write_changes_nothing),
		cmocka_unit_test(update),
		cmocka_unit_test(text_forms),
		cmocka_unit_test(texts_that_are_none),
		cmocka_unit_test(state_round_trip),
		cmocka_unit_test(refuses_broken_state),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
