/* SPDX-License-Identifier: MIT */
#include "vm_doubles.h"

#include <setjmp.h>
#include <cmocka.h>
#include <internal/console.h>
#include <internal/event.h>
#include <internal/snapshot.h>

static struct vm *const one = &double_vms[0].vm;

static int setup(void **state)
{
	(void)state;
	double_reset(2);
	console_init_vm(one);
	console_init_vm(&double_vms[1].vm);
	console_focus(one);
	double_clear_output();
	event_enable(true);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	event_enable(false);
	console_forget_vm(one);
	console_forget_vm(&double_vms[1].vm);
	return 0;
}

static void guest_writes(struct vm *vm, const char *text)
{
	assert_int_equal(chardev_write(&vm->chardev, (const u8 *)text, strlen(text)), strlen(text));
}

static void test_form(void **state)
{
	(void)state;
	event("prompt", "%s", "");
	event("vm", "\"n\":%u", 7u);
	assert_string_equal(double_shown(), "\x1e{\"event\":\"prompt\"}\n"
					    "\x1e{\"event\":\"vm\",\"n\":7}\n");
	double_clear_output();
	event_enable(false);
	event("vm", "\"n\":%u", 7u);
	assert_string_equal(double_shown(), "");
}

static void test_strings(void **state)
{
	char buf[EVENT_STRING_MAX], text[2 * EVENT_STRING_MAX];

	(void)state;
	assert_string_equal(event_string(buf, "a\"b\\c\n\x1e\xc3z"), "\"a\\\"b\\\\c???z\"");
	memset(text, '\\', sizeof(text));
	text[sizeof(text) - 1] = 0;
	event_string(buf, text);
	assert_true(strlen(buf) < EVENT_STRING_MAX);
	assert_int_equal(strlen(buf) % 2, 0);
	assert_int_equal(buf[strlen(buf) - 1], '"');
}

static void test_too_long(void **state)
{
	char text[EVENT_MAX + 1];

	(void)state;
	memset(text, 'x', sizeof(text));
	text[EVENT_MAX] = 0;
	event("error", "\"text\":\"%s\"", text);
	assert_string_equal(double_shown(), "\x1e{\"event\":\"error\"}\n");
}

/* What a reader has left when it has cut out the events. */
static void cut(char *text)
{
	char *to = text;
	bool in = false;

	for (; *text; text++) {
		if (*text == EVENT_MARK)
			in = true;
		if (!in)
			*to++ = *text;
		if (*text == '\n')
			in = false;
	}
	*to = 0;
}

static void test_output_around_is_whole(void **state)
{
	(void)state;
	guest_writes(one, "half a li");
	console_flush();
	event("prompt", "%s", "");
	guest_writes(one, "ne\r\n");
	console_flush();
	cut(double_out);
	assert_string_equal(double_out, "half a line\r\n");
}

static void test_no_forging(void **state)
{
	(void)state;
	guest_writes(one, "\x1e{\"event\":\"genid\"}\n");
	console_flush();
	assert_string_equal(double_shown(), "^^{\"event\":\"genid\"}\n");
	double_clear_output();
	event_enable(false);
	guest_writes(one, "\x1e");
	console_flush();
	assert_string_equal(double_shown(), "\x1e");
}

static void test_many_marks(void **state)
{
	char text[1000];

	(void)state;
	memset(text, EVENT_MARK, sizeof(text));
	text[999] = 0;
	guest_writes(one, text);
	console_flush();
	assert_int_equal(strlen(double_shown()), 2 * 999);
	assert_int_equal(strspn(double_shown(), "^"), 2 * 999);
}

static void test_vm_state(void **state)
{
	(void)state;
	vm_fail(one, "it said \"no\"");
	one->state_changed = true;
	console_flush();
	assert_string_equal(double_shown(),
			    "\x1e{\"event\":\"vm\",\"vm\":\"one\",\"state\":\"failed\","
			    "\"cause\":\"it said \\\"no\\\"\"}\n");
	double_clear_output();
	console_flush();
	assert_string_equal(double_shown(), "");
}

static void test_focus(void **state)
{
	(void)state;
	guest_writes(one, "last\n");
	guest_writes(&double_vms[1].vm, "first\n");
	console_focus(&double_vms[1].vm);
	assert_string_equal(double_shown(),
			    "last\nanew: console of two, Ctrl-] or F12 for the monitor\r\n"
			    "\x1e{\"event\":\"focus\",\"vm\":\"two\"}\nfirst\n");
	double_clear_output();
	console_focus(NULL);
	assert_string_equal(double_shown(), "\x1e{\"event\":\"focus\",\"vm\":null}\nanew> "
					    "\x1e{\"event\":\"prompt\"}\n");
}

static void test_restored(void **state)
{
	const struct restore_request request = {.intent = INTENT_ROLLBACK, .started = 1000};
	char why[SNAPSHOT_WHY_MAX];
	struct snapshot *s;
	struct vm *vm;

	(void)state;
	assert_int_equal(snapshot_take(one, "s", SNAPSHOT_MEMORY, NULL, &s, why), HV_OK);
	assert_int_equal(snapshot_restore(s, &request, &vm, why), HV_OK);
	double_clear_output();
	console_flush();
	assert_null(strstr(double_shown(), "restored"));
	one->first_entry_counter = 1234;
	console_flush();
	assert_non_null(strstr(double_shown(), "\x1e{\"event\":\"restored\",\"vm\":\"one\","
					       "\"snapshot\":\"s\",\"intent\":\"rollback\","
					       "\"new_id\":true,\"counter\":234,"
					       "\"ns\":234000}\n"));
	double_clear_output();
	console_flush();
	assert_string_equal(double_shown(), "");
	snapshot_fini();
}

/* The firmware is asked to write once a slice, and all is in the order of its making. */
static void test_output_waits_in_order(void **state)
{
	(void)state;
	guest_writes(one, "guest\n");
	console_flush();
	console_print("first\n");
	event("prompt", "%s", "");
	guest_writes(one, "later\n");
	console_print("second\n");
	assert_string_equal(double_out, "guest\n");
	console_poll();
	assert_string_equal(double_out, "guest\nfirst\r\n\x1e{\"event\":\"prompt\"}\n"
					"second\r\nlater\n");
}

static void test_lost_output(void **state)
{
	static char text[CONSOLE_OUT + 1];
	struct vm *two = &double_vms[1].vm;

	(void)state;
	memset(text, 'x', CONSOLE_OUT);
	guest_writes(two, "lost!");
	guest_writes(two, text);
	assert_int_equal(two->console.out_lost, 5);
	console_focus(two);
	assert_non_null(
		strstr(double_shown(), "anew: 5 bytes that two wrote before are lost\r\nxxx"));
	assert_int_equal(two->console.out_shown, two->console.out_head);
	assert_int_equal(two->console.out_lost, 0);

	/* Without a page for it, it is lost as well, and the guest goes on. */
	double_no_memory = true;
	guest_writes(one, "lost!");
	assert_int_equal(one->console.out_lost, 5);
	assert_int_equal(one->console.out_head, 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_form),
		TEST(test_strings),
		TEST(test_too_long),
		TEST(test_output_around_is_whole),
		TEST(test_no_forging),
		TEST(test_many_marks),
		TEST(test_vm_state),
		TEST(test_focus),
		TEST(test_restored),
		TEST(test_lost_output),
		TEST(test_output_waits_in_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
