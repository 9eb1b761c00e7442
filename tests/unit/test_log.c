/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arch/vm.h>
#include <internal/log.h>
#include <string.h>

static char text[2 * LOG_RING_BYTES];
static u64 cursor;

/* All that was logged since the last time. */
static const char *logged(void)
{
	size_t at = 0, length;

	/* In odd pieces, as a console takes it. */
	while ((length = log_read(&cursor, text + at, 37)))
		at += length;
	text[at] = 0;
	return text;
}

static u32 count_lines(const char *from)
{
	u32 lines = 0;

	for (; *from; from++)
		lines += *from == '\n';
	return lines;
}

static int setup(void **state)
{
	(void)state;
	log_level_set(LOG_INFO);
	fake_machine.counter = 0;
	fake_machine.counter_hz = NS_PER_SEC;
	logged();
	return 0;
}

static void test_lines(void **state)
{
	(void)state;
	fake_machine.counter = 12 * NS_PER_SEC + 345678 * 1000;
	log_info("a %s of %d", "line", 7);
	assert_string_equal(logged(), "[   12.345678] a line of 7\n");
	log_error("bad");
	assert_string_equal(logged(), "[   12.345678] error: bad\n");
	assert_string_equal(logged(), "");
	/* Before the counter is known. */
	fake_machine.counter_hz = 0;
	log_warn("early");
	assert_string_equal(logged(), "[    0.000000] warning: early\n");
}

static void test_levels(void **state)
{
	(void)state;
	log_debug("no");
	assert_string_equal(logged(), "");
	log_level_set(LOG_DEBUG);
	assert_int_equal(log_level_get(), LOG_DEBUG);
	log_debug("yes");
	assert_int_equal(count_lines(logged()), 1);
	log_level_set(LOG_ERROR);
	log_warn("no");
	assert_string_equal(logged(), "");
}

static void test_hostile_text(void **state)
{
	static char longer[3 * LOG_LINE_MAX];

	(void)state;
	log_info("%s", "a\x1b[2J\x1e\n\rb");
	assert_string_equal(logged(), "[    0.000000] a?[2J???b\n");
	memset(longer, 'x', sizeof(longer) - 1);
	log_info("%s", longer);
	assert_int_equal(strlen(logged()), LOG_LINE_MAX - 1);
	assert_string_equal(text + LOG_LINE_MAX - 6, "x...\n");
}

static void test_reader_falls_behind(void **state)
{
	u64 before = cursor;

	(void)state;
	for (u32 i = 0; i < 5000; i++)
		log_info("line %u", i);
	logged();
	assert_true(cursor - before > LOG_RING_BYTES);
	assert_true(strlen(text) <= LOG_RING_BYTES);
	assert_true(strlen(text) > LOG_RING_BYTES - 64);
	/* It begins with a whole line and ends with the last. */
	assert_int_equal(text[0], '[');
	assert_string_equal(strrchr(text, '['), "[    0.000000] line 4999\n");
}

static void test_limit(void **state)
{
	struct log_limit limit = {0};
	struct log_limit other = {0};

	(void)state;
	for (u32 i = 0; i < 25; i++)
		log_limited(&limit, LOG_INFO, "again");
	assert_int_equal(count_lines(logged()), 10);
	log_limited(&other, LOG_INFO, "another");
	assert_int_equal(count_lines(logged()), 1);
	fake_machine.counter += NS_PER_SEC;
	log_limited(&limit, LOG_INFO, "later");
	assert_non_null(strstr(logged(), "15 more lines"));
	assert_int_equal(count_lines(text), 2);
	/* What isn't kept costs nothing. */
	for (u32 i = 0; i < 25; i++)
		log_limited(&limit, LOG_DEBUG, "silent");
	log_limited(&limit, LOG_INFO, "heard");
	assert_int_equal(count_lines(logged()), 1);
}

static jmp_buf stopped;

static void stop(const char *line)
{
	if (strstr(line, "panic: the details\n"))
		longjmp(stopped, 1);
}

static void details(void)
{
	log_panic_line("the %s", "details");
}

static void test_panic(void **state)
{
	(void)state;
	log_panic_hook = stop;
	log_panic_details = details;
	if (!setjmp(stopped))
		panic("broken %d", 5);
	assert_non_null(strstr(logged(), "panic: broken 5\n"));
	assert_non_null(strstr(text, "panic: this is build "));
	assert_int_equal(count_lines(text), 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_lines, setup),
		cmocka_unit_test_setup(test_levels, setup),
		cmocka_unit_test_setup(test_hostile_text, setup),
		cmocka_unit_test_setup(test_reader_falls_behind, setup),
		cmocka_unit_test_setup(test_limit, setup),
		cmocka_unit_test_setup(test_panic, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
