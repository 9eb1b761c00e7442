/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <hv/clock.h>

struct board {
	struct clock clock;
	u64 now;
	struct timer timers[4];
	u32 calls[4];
	u32 order[16];
	u32 count;
	u64 rearm[4];            /* deadline that a timer arms itself for when it is called */
	struct timer *cancel[4]; /* what it cancels then */
};

static struct board board;

static u64 now(void *ctx)
{
	return ((struct board *)ctx)->now;
}

static void called(void *ctx)
{
	u32 i = (u32)((struct timer *)ctx - board.timers);

	assert_false(timer_armed(&board.timers[i]));
	board.calls[i]++;
	board.order[board.count++] = i;
	if (board.cancel[i])
		timer_cancel(&board.clock, board.cancel[i]);
	if (board.rearm[i] != CLOCK_NEVER)
		timer_arm(&board.clock, &board.timers[i], board.rearm[i]);
}

static int setup(void **state)
{
	(void)state;
	board = (struct board){.clock = {.now = now, .ctx = &board}};
	for (u32 i = 0; i < 4; i++) {
		timer_init(&board.timers[i], called, &board.timers[i]);
		board.rearm[i] = CLOCK_NEVER;
	}
	return 0;
}

static void arm(u32 i, u64 deadline)
{
	timer_arm(&board.clock, &board.timers[i], deadline);
}

static void test_order(void **state)
{
	(void)state;
	assert_int_equal(clock_next(&board.clock), CLOCK_NEVER);
	arm(0, 30);
	arm(1, 10);
	arm(2, 20);
	arm(3, 20);
	assert_int_equal(clock_next(&board.clock), 10);
	board.now = 9;
	clock_expire(&board.clock);
	assert_int_equal(board.count, 0);
	board.now = 20;
	clock_expire(&board.clock);
	assert_int_equal(board.count, 3);
	assert_int_equal(board.order[0], 1);
	assert_int_equal(board.order[1], 2);
	assert_int_equal(board.order[2], 3);
	assert_int_equal(clock_next(&board.clock), 30);
	board.now = 100;
	clock_expire(&board.clock);
	clock_expire(&board.clock);
	assert_int_equal(board.calls[0], 1);
	assert_int_equal(clock_next(&board.clock), CLOCK_NEVER);
}

static void test_move_and_cancel(void **state)
{
	(void)state;
	arm(0, 10);
	arm(1, 20);
	arm(0, 30);
	assert_int_equal(clock_next(&board.clock), 20);
	timer_cancel(&board.clock, &board.timers[1]);
	timer_cancel(&board.clock, &board.timers[1]);
	assert_false(timer_armed(&board.timers[1]));
	assert_int_equal(clock_next(&board.clock), 30);
	arm(0, CLOCK_NEVER);
	assert_false(timer_armed(&board.timers[0]));
	assert_int_equal(clock_next(&board.clock), CLOCK_NEVER);
}

/* Armed in the past again: once a round, and the others get their turn. */
static void test_rearm_in_the_past(void **state)
{
	(void)state;
	arm(0, 10);
	arm(1, 20);
	arm(2, 200);
	board.rearm[0] = 5;
	board.now = 100;
	for (u32 round = 1; round < 4; round++) {
		clock_expire(&board.clock);
		assert_int_equal(board.calls[0], round);
		assert_int_equal(board.calls[1], 1);
		assert_int_equal(board.timers[0].deadline, 5);
		assert_int_equal(clock_next(&board.clock), 5);
	}
	timer_cancel(&board.clock, &board.timers[0]);
	assert_int_equal(clock_next(&board.clock), 200);
}

/* One that is due is cancelled by another that is due before it. */
static void test_cancel_in_a_call(void **state)
{
	(void)state;
	arm(0, 10);
	arm(1, 20);
	arm(2, 30);
	board.cancel[0] = &board.timers[1];
	board.now = 100;
	clock_expire(&board.clock);
	assert_int_equal(board.calls[1], 0);
	assert_int_equal(board.calls[2], 1);
}

static void expire_again(void *ctx)
{
	clock_expire(ctx);
}

static void test_expire_in_a_call(void **state)
{
	struct timer timer;

	(void)state;
	timer_init(&timer, expire_again, &board.clock);
	timer_arm(&board.clock, &timer, 5);
	arm(0, 10);
	arm(1, 200);
	board.now = 100;
	clock_expire(&board.clock);
	assert_int_equal(board.calls[0], 1);
	assert_int_equal(clock_next(&board.clock), 200);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_order, setup),
		cmocka_unit_test_setup(test_move_and_cancel, setup),
		cmocka_unit_test_setup(test_rearm_in_the_past, setup),
		cmocka_unit_test_setup(test_cancel_in_a_call, setup),
		cmocka_unit_test_setup(test_expire_in_a_call, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
