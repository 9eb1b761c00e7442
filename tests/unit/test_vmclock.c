/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <devices/vmclock.h>

#include "device_fakes.h"

#define REGION KIB(64)

/* A number that fake_rng draws for a letter of its script. */
#define DRAWN(letter) (0x0101010101010101U * (u8)(letter))

struct board {
	struct fake_memory memory;
	struct fake_irq irq;
	struct fake_rng rng;
	struct resources resources;
	struct guest_mem watched; /* memory, with what the guest could have seen in between */
	u32 at_write[16];         /* seq_count after each write since board_watch() */
	u64 generation_at_write[16];
	u32 write_count;
	u32 writes_left; /* that succeed */
	gpa_t given;     /* address that the allocator gives */
	struct vmclock dev;
};

static enum hv_error alloc_memory(void *ctx, u64 bytes, gpa_t *base)
{
	struct board *b = ctx;

	assert_int_equal(bytes, REGION);
	*base = b->given;
	return HV_OK;
}

static enum hv_error alloc_line(void *ctx, struct irq_line *line)
{
	*line = ((struct board *)ctx)->irq.line;
	return HV_OK;
}

static const struct vmclock_page *in_memory(const struct board *b)
{
	return (const struct vmclock_page *)(const void *)b->memory.bytes;
}

static enum hv_error watched_read(void *ctx, gpa_t from, void *buf, size_t length)
{
	return fake_memory_read(&((struct board *)ctx)->memory, from, buf, length);
}

static enum hv_error watched_write(void *ctx, gpa_t to, const void *buf, size_t length)
{
	struct board *b = ctx;
	enum hv_error err;

	if (!b->writes_left)
		return HV_ENO_MEMORY;
	b->writes_left--;
	err = fake_memory_write(&b->memory, to, buf, length);
	assert_true(b->write_count < ARRAY_COUNT(b->at_write));
	b->at_write[b->write_count] = in_memory(b)->seq_count;
	b->generation_at_write[b->write_count++] = in_memory(b)->vm_generation_counter;
	return err;
}

static void watched_clean(void *ctx, gpa_t from, size_t length)
{
	fake_memory_clean(&((struct board *)ctx)->memory, from, length);
}

static void board_parts(struct board *b, const char *script)
{
	memset(b, 0, sizeof(*b));
	fake_memory_init(&b->memory);
	fake_irq_init(&b->irq, 5);
	fake_rng_init(&b->rng, (const u8 *)script, strlen(script));
	b->resources = (struct resources){
		.alloc_memory = alloc_memory, .alloc_line = alloc_line, .ctx = b};
	b->watched = (struct guest_mem){watched_read, watched_write, watched_clean, b};
	b->writes_left = UINT32_MAX;
	b->given = GPA(FAKE_MEMORY_BASE);
}

static enum hv_error make(struct board *b)
{
	return vmclock_new(&b->dev, &b->resources, &b->watched, &b->rng.rng, REGION);
}

/* A page of generation 'g' and marker 'm'; the draws that follow give what @script says. */
static void board_active(struct board *b, const char *script)
{
	board_parts(b, "gm");
	assert_int_equal(make(b), HV_OK);
	assert_int_equal(vmclock_activate(&b->dev), HV_OK);
	fake_rng_init(&b->rng, (const u8 *)script, strlen(script));
	b->write_count = 0;
}

/* With a marker of 'x' where one is to be. */
static enum hv_error update(struct board *b, bool disrupted, u64 generation)
{
	const struct vmclock_change change = {
		.disrupted = disrupted, .marker = DRAWN('x'), .generation = generation};

	return vmclock_update(&b->dev, &change);
}

/* What Linux's driver looks at, and that nothing is said of the time of day. */
static void assert_page(const struct board *b, u32 seq_count, u64 marker, u64 generation)
{
	const struct vmclock_page want = {
		.magic = 0x4b4c4356,
		.size = REGION,
		.version = 1,
		.counter_id = 0xff,
		.seq_count = seq_count,
		.disruption_marker = marker,
		.flags = 0x300,
		.vm_generation_counter = generation,
	};

	assert_memory_equal(in_memory(b), &want, sizeof(want));
	for (u32 i = sizeof(want); i < FAKE_MEMORY_SIZE; i++)
		assert_int_equal(b->memory.bytes[i], 0);
	assert_int_equal(b->dev.marker, marker);
	assert_int_equal(b->dev.generation, generation);
}

static void new_and_activate(void **state)
{
	struct board b;

	(void)state;
	board_parts(&b, "gm");
	assert_int_equal(make(&b), HV_OK);
	assert_int_equal(b.dev.address.v, FAKE_MEMORY_BASE);
	assert_int_equal(b.dev.line_number, 5);
	assert_int_equal(b.memory.writes, 0);
	assert_int_equal(vmclock_activate(&b.dev), HV_OK);
	assert_page(&b, 0, DRAWN('m'), DRAWN('g'));
	assert_int_equal(b.memory.writes_at_clean, b.memory.writes);
	assert_int_equal(b.irq.rises, 0);
}

static void memory_that_is_no_page(void **state)
{
	static const u64 places[] = {0, FAKE_MEMORY_BASE + 0x800};
	struct board b;

	(void)state;
	for (u32 i = 0; i < ARRAY_COUNT(places); i++) {
		board_parts(&b, "gm");
		b.given = GPA(places[i]);
		assert_int_equal(make(&b), HV_EINVALID);
	}
}

static void activate_without_entropy(void **state)
{
	static const char *const scripts[] = {"", "g"};
	struct board b;

	(void)state;
	for (u32 i = 0; i < ARRAY_COUNT(scripts); i++) {
		board_parts(&b, scripts[i]);
		assert_int_equal(make(&b), HV_OK);
		assert_int_equal(vmclock_activate(&b.dev), HV_ENO_ENTROPY);
		assert_int_equal(b.memory.writes, 0);
		assert_int_equal(b.dev.generation, 0);
	}
}

static void activate_keeps_what_it_has(void **state)
{
	struct board b;

	(void)state;
	board_active(&b, "xy");
	assert_int_equal(update(&b, true, 7), HV_OK);
	memset(b.memory.bytes, 0, sizeof(b.memory.bytes));
	assert_int_equal(vmclock_activate(&b.dev), HV_OK);
	assert_page(&b, 2, DRAWN('x'), 7);
}

/* Marker, generation, or both; what is not to change does not. */
static void updates(void **state)
{
	struct board b;

	(void)state;
	board_active(&b, "xy");
	assert_int_equal(update(&b, true, 0), HV_OK);
	assert_page(&b, 2, DRAWN('x'), DRAWN('g'));
	assert_int_equal(update(&b, false, 11), HV_OK);
	assert_page(&b, 4, DRAWN('x'), 11);
	/* The present marker is none, the next one is. */
	assert_int_equal(update(&b, true, 12), HV_OK);
	assert_page(&b, 6, DRAWN('x') + 1, 12);
	/* The edge is the caller's. */
	assert_int_equal(b.irq.rises, 0);
	vmclock_notify_guest(&b.dev);
	assert_int_equal(b.irq.rises, 1);
	assert_false(b.irq.level);
}

static void an_update_is_a_seqlock(void **state)
{
	struct board b;

	(void)state;
	board_active(&b, "x");
	b.dev.seq_count = UINT32_MAX - 1;
	assert_int_equal(update(&b, true, 9), HV_OK);
	assert_int_equal(b.write_count, 3);
	assert_int_equal(b.at_write[0], UINT32_MAX);
	assert_int_equal(b.generation_at_write[0], DRAWN('g'));
	assert_int_equal(b.at_write[1], UINT32_MAX);
	assert_int_equal(b.generation_at_write[1], 9);
	assert_int_equal(b.at_write[2], 0);
	assert_int_equal(b.memory.cleans, 1 + 3);
	assert_int_equal(b.memory.writes_at_clean, b.memory.writes);
}

/* A marker has only to be another, a generation is refused. */
static void without_entropy(void **state)
{
	const struct vmclock_change change = {.disrupted = true};
	struct board b;
	u64 generation = 3;

	(void)state;
	board_active(&b, "");
	assert_int_equal(vmclock_update(&b.dev, &change), HV_OK);
	assert_page(&b, 2, DRAWN('m') + 1, DRAWN('g'));
	assert_int_equal(vmclock_draw(&b.dev, &generation), HV_ENO_ENTROPY);
	assert_int_equal(generation, 3);
}

static void draws(void **state)
{
	static const u8 script[] = {0, 'g', 'h'};
	struct board b;
	u64 generation;

	(void)state;
	board_active(&b, "");
	fake_rng_init(&b.rng, script, sizeof(script));
	assert_int_equal(vmclock_draw(&b.dev, &generation), HV_OK);
	assert_true(generation == DRAWN('h'));
	fake_rng_init(&b.rng, (const u8 *)"gggggh", 6);
	assert_int_equal(vmclock_draw(&b.dev, &generation), HV_ENO_ENTROPY);
	assert_int_equal(update(&b, true, b.dev.generation), HV_ENO_ENTROPY);
	assert_page(&b, 0, DRAWN('m'), DRAWN('g'));
}

/* However far a write gets, the device stays what it was, and the next one makes the page good. */
static void failed_writes(void **state)
{
	struct board b;

	(void)state;
	for (u32 writes = 0; writes < 3; writes++) {
		board_active(&b, "xy");
		b.writes_left = writes;
		assert_int_equal(update(&b, true, 9), HV_ENO_MEMORY);
		assert_true(b.dev.marker == DRAWN('m') && b.dev.generation == DRAWN('g'));
		assert_int_equal(b.dev.seq_count, 0);
		b.writes_left = UINT32_MAX;
		assert_int_equal(update(&b, true, 9), HV_OK);
		assert_page(&b, 2, DRAWN('x'), 9);
	}
	board_parts(&b, "gm");
	assert_int_equal(make(&b), HV_OK);
	b.writes_left = 0;
	assert_int_equal(vmclock_activate(&b.dev), HV_ENO_MEMORY);
	assert_int_equal(b.dev.generation, 0);
}

static void state_round_trip(void **state)
{
	struct board b, fresh;

	(void)state;
	board_active(&b, "x");
	assert_int_equal(update(&b, true, 9), HV_OK);
	board_active(&fresh, "");
	assert_true(fake_same_after_load(&vmclock_state, &b.dev, &fresh.dev));
	/* What is in memory comes with the memory, or by activate. */
	assert_int_equal(vmclock_activate(&fresh.dev), HV_OK);
	assert_page(&fresh, 2, DRAWN('x'), 9);
}

static void refuses_broken_state(void **state)
{
	const char *why = NULL;
	struct vmclock bad;
	struct board b;

#define REFUSED(member, value, reason)                                                             \
	do {                                                                                       \
		bad = b.dev;                                                                       \
		bad.member = value;                                                                \
		assert_int_equal(vmclock_state.check(&bad, &why), HV_EINVALID);                    \
		assert_non_null(strstr(why, reason));                                              \
	} while (0)

	(void)state;
	board_active(&b, "");
	assert_int_equal(vmclock_state.check(&b.dev, &why), HV_OK);
	REFUSED(address.v, 0, "address");
	REFUSED(address.v, FAKE_MEMORY_BASE + 16, "address");
	REFUSED(address.v, FAKE_MEMORY_BASE + 0x1000, "elsewhere");
	REFUSED(line_number, 6, "line");
	REFUSED(seq_count, 1, "changed");
	REFUSED(generation, 0, "generation");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(new_and_activate),
		cmocka_unit_test(memory_that_is_no_page),
		cmocka_unit_test(activate_without_entropy),
		cmocka_unit_test(activate_keeps_what_it_has),
		cmocka_unit_test(updates),
		cmocka_unit_test(an_update_is_a_seqlock),
		cmocka_unit_test(without_entropy),
		cmocka_unit_test(draws),
		cmocka_unit_test(failed_writes),
		cmocka_unit_test(state_round_trip),
		cmocka_unit_test(refuses_broken_state),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
