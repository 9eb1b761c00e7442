/* SPDX-License-Identifier: MIT */
#include "vm_doubles.h"

#include <setjmp.h>
#include <cmocka.h>
#include <internal/console.h>
#include <internal/event.h>
#include <internal/monitor.h>
#include <internal/snapshot.h>

static struct vm *const one = &double_vms[0].vm;
static u32 told; /* calls of console_input */

static void input(void *ctx)
{
	(void)ctx;
	told++;
}

static void begin(u32 count)
{
	double_reset(count);
	for (u32 i = 0; i < count; i++) {
		console_init_vm(&double_vms[i].vm);
		double_vms[i].vm.console_input = input;
	}
	told = 0;
	console_flush();
	console_focus(NULL);
	double_clear_output();
}

static int setup(void **state)
{
	(void)state;
	begin(1);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	console_forget_vm(one);
	console_forget_vm(&double_vms[1].vm);
	snapshot_fini();
	double_stored.stored = false;
	return 0;
}

/* What is shown when @keys are typed. */
static const char *type(const char *keys)
{
	double_clear_output();
	double_type(keys);
	console_poll();
	console_flush();
	return double_out;
}

static void expect(const char *keys, const char *shown)
{
	type(keys);
	if (!strstr(double_out, shown))
		fail_msg("%s: shown %s, not %s", keys, double_out, shown);
}

static void test_editing(void **state)
{
	(void)state;
	assert_string_equal(type("lx\x7f"), "lx\b \b");
	assert_string_equal(type("\b\b\b"), "\b \b");
	assert_string_equal(type("abc\x15"), "abc\b \b\b \b\b \b");
	assert_string_equal(type("abc\x03"), "abc^C\r\nanew> ");
	assert_string_equal(type("\r\n"), "\r\nanew> ");
	assert_string_equal(type("\n"), "\r\nanew> ");
	assert_string_equal(type("\t\x01\x80\x1e"), "");
	expect("snapshots\r", "snapshots\r\nno snapshots; `snapshot VM NAME` takes one\r\nanew> ");
}

static void test_history(void **state)
{
	(void)state;
	type("h1\rh2\rh2\rh3\r");
	assert_string_equal(type("\x1b[A"), "h3");
	assert_string_equal(type("\x1b[A"), "\b \b\b \bh2");
	assert_string_equal(type("\x1b[A"), "\b \b\b \bh1");
	assert_string_equal(type("\x1bOB"), "\b \b\b \bh2");
	assert_string_equal(type("\x1b[B\x1b[B"), "\b \b\b \bh3\b \b\b \b");
	assert_string_equal(type("\x1b[B\x1b[1;5C"), "");
	for (char c = 'a'; c <= 'z'; c++) {
		char text[] = {c, '\r', 0};

		type(text);
	}
	type("\x1b[A\x1b[A\x1b[A\x1b[A\x1b[A\x1b[A\x1b[A");
	assert_string_equal(type("\x1b[A\x1b[A"), "\b \bs");
	type("\x15");
}

static void test_long_line(void **state)
{
	char text[2 * MONITOR_LINE_MAX];

	(void)state;
	memset(text, 'x', sizeof(text));
	text[sizeof(text) - 1] = 0;
	type(text);
	while (double_in_tail != double_in_head)
		console_poll();
	console_push();
	assert_int_equal(double_out_length, MONITOR_LINE_MAX - 1);
	expect("\r", "error: there is no command xxx");
	expect("a b c d e f g h i j\r", "error: too many words");
}

static void test_list(void **state)
{
	(void)state;
	expect("list\r", "one                              running       64 MiB");
	expect("info\r", "state    running\r\n");
	expect("info one\r", "vcpu 0, runnable\r\npc 1234\r\nsp 5678\r\nanew> ");
	one->vcpus[0].exits[EXIT_HALT] = 12;
	machine_pool.total_pages = 512;
	machine_pool.free_pages = 34;
	expect("stats\r", "halt                             12\r\n");
	expect("stats one\r", "anew's own pages                256\r\n"
			      "guest pages                     512\r\n"
			      "free guest pages                 34\r\n");
	expect("stats\r", "asleep, ms                        4\r\n");
	expect("help\r", "  restore NAME --intent INTENT [--paused] [--lazy]");
}

static void test_errors_say_what_next(void **state)
{
	(void)state;
	expect("frob\r", "error: there is no command frob; `help` lists them\r\n");
	expect("pause nix\r", "error: there is no VM nix; there are: one\r\n");
	expect("reset\r", "error: wrong arguments; usage: reset VM\r\n");
	expect("resume\r", "error: one is not paused, it is running\r\n");
	expect("delete x\r", "error: there is no snapshot x; `snapshots` lists them\r\n");
	begin(2);
	expect("pause\r", "error: there are several VMs; name one: one, two\r\n");
	expect("stats\r", "error: there are several VMs; name one: one, two\r\n");
	begin(0);
	expect("stats\r", "stats\r\nanew's own pages ");
	expect("pause\r", "error: there is no VM; describe one in anew.conf");
}

static void test_pause_resume(void **state)
{
	(void)state;
	type("pause\r");
	assert_int_equal(one->state, VM_PAUSED);
	expect("pause\r", "error: one is not running, it is paused");
	type("resume one\r");
	assert_int_equal(one->state, VM_RUNNING);
	vm_fail(one, "broken");
	expect("resume\r", "error: one is not paused, it is failed; `reset VM` starts it again");
	expect("list\r", "broken");
	type("reset one\r");
	assert_int_equal(one->state, VM_RUNNING);
}

static void test_console_keys(void **state)
{
	u8 got[16];

	(void)state;
	expect("console\rhi\x03", "anew: console of one, Ctrl-] or F12 for the monitor\r\n");
	assert_ptr_equal(console_focused(), one);
	assert_int_equal(told, 1);
	assert_int_equal(chardev_read(&one->chardev, got, sizeof(got)), 3);
	assert_memory_equal(got, "hi\x03", 3);
	assert_string_equal(type("\x1d"), "anew> ");
	assert_null(console_focused());
	type("\x1d"
	     "ab\x1d"
	     "lis");
	assert_null(console_focused());
	assert_int_equal(chardev_read(&one->chardev, got, sizeof(got)), 2);
	expect("t\r", "NAME");

	/* A guest that reads nothing loses what is typed, but not the way out. */
	type("\x1d");
	for (u32 i = 0; i < CONSOLE_IN / 8 + 1; i++)
		type("12345678");
	assert_int_equal(one->console.in_head - one->console.in_tail, CONSOLE_IN);
	expect("\x1d", "anew> ");
}

static void test_log_lines(void **state)
{
	(void)state;
	type("li");
	double_clear_output();
	log_info("something \x1e happened");
	console_poll();
	assert_non_null(strstr(double_out, "\r\nanew: ["));
	assert_non_null(strstr(double_out, "something ? happened\r\nanew> li"));
	type("\x15");
	expect("log\r", "something ? happened\r\n");
	expect("log debug\r", "lines of level debug");
	expect("log info\r", "lines of level info");
	expect("log x\r", "usage: log [error | warning | info | debug]");
}

static void test_snapshot_restore(void **state)
{
	(void)state;
	expect("snapshot one s\r", "written to the volume: 12 KiB\r\n");
	expect("snapshot one m --memory\r", "snapshot m of one: frozen in ");
	expect("snapshot one m\r", "error: there is a snapshot m already; say --replace");
	expect("snapshot one\r", "usage: snapshot VM NAME [--replace] [--memory]");
	expect("snapshots\r", "1970-01-01 00:");
	expect("snapshots\r", "s           memory\r\n");
	expect("check s\r", "snapshot s is whole");
	expect("check m\r", "error: ");
	double_vms[0].state.value = 3;
	expect("restore s\r", "error: a restore needs an intent; say why");
	expect("restore s\r", "  rollback   new id ");
	expect("restore s --intent\r", "error: a restore needs an intent");
	expect("restore s --intent undo\r", "error: there is no intent undo; say why");
	assert_int_equal(double_vms[0].state.value, 3);
	expect("restore s --intent rollback x\r",
	       "usage: restore NAME --intent INTENT [--paused] [--lazy]");
	expect("restore x --intent rollback\r", "there is no snapshot x");
	expect("restore s --intent rollback\r",
	       "one is as in snapshot s, with a new id, and running");
	assert_int_equal(double_vms[0].state.value, 0);
	expect("restore --paused --intent=resume s\r", "with the same id, and paused");
	double_no_entropy = true;
	expect("restore s --intent clone\r", "error: no new id for one: no entropy");
	expect("delete s\r", "snapshot s is deleted");
	expect("delete m\r", "snapshot m is deleted");
	assert_null(snapshot_first());
}

static void test_rollback(void **state)
{
	(void)state;
	expect("rollback\r", "error: one came from no snapshot; `snapshot one NAME` takes one");
	type("snapshot one s --memory\r");
	double_vms[0].state.value = 3;
	expect("rollback\r", "one is as in snapshot s, with a new id, and running");
	assert_int_equal(double_vms[0].state.value, 0);
	type("delete s\r");
	expect("rollback one\r", "error: snapshot s, which one came from, is gone");
}

static void test_clone(void **state)
{
	(void)state;
	type("snapshot one s --memory\r");
	expect("clone\r", "usage: clone NAME [COUNT] [--paused]");
	expect("clone x\r", "error: there is no snapshot x");
	expect("clone s 0\r", "error: that is no number of clones; from 1 to 64");
	expect("clone s 2 3\r", "usage: clone NAME [COUNT] [--paused]");
	expect("clone s --many\r", "usage: clone NAME [COUNT] [--paused]");
	expect("clone s many\r", "error: that is no number of clones; from 1 to 64");
	expect("clone s 2 --paused\r",
	       "one-2 is a clone of one in snapshot s, with a new id, and paused");
	expect("list\r", "one-1                            paused");
	expect("end one-1\r", "one-1 has ended");
	double_no_entropy = true;
	expect("clone s 2\r", "error: clone 1 of 2: no new id for one-1: no entropy");
	expect("info one-2\r", "from     s\r\n");
}

static void test_genid(void **state)
{
	const struct vmclock before = double_vms[0].vmclock;
	char clock[80];

	(void)state;
	expect("genid one set 01234567-89ab-cdef-0123-456789abcdef\r", "one has a new id");
	assert_int_equal(double_vms[0].edges, 1);
	assert_true(double_vms[0].id_before_edge);
	assert_int_equal(double_vms[0].clock_edges, 1);
	assert_true(double_vms[0].clock_before_edge);
	assert_true(double_vms[0].vmclock.marker == before.marker);
	assert_true(double_vms[0].vmclock.generation != before.generation);
	expect("genid\r", "01234567-89ab-cdef-0123-456789abcdef");
	expect("genid show\r", "01234567-89ab-cdef-0123-456789abcdef");
	expect("genid one\r", "01234567-89ab-cdef-0123-456789abcdef");
	snprintf(clock, sizeof(clock), "VMClock: disruption marker 0x%016llx,",
		 (unsigned long long)before.marker);
	expect("genid one\r", clock);
	expect("genid one set x\r", "error: x is no id");
	expect("genid one set 01234567-89ab-cdef-0123-456789abcdef\r",
	       "error: one has that id already");
	assert_int_equal(double_vms[0].edges, 1);
	expect("genid one rotate\r", "one has a new id");
	assert_int_equal(double_vms[0].edges, 2);
	assert_null(strstr(type("genid one show\r"), "01234567-"));
	double_no_entropy = true;
	expect("genid one rotate\r", "error: no new id for one: no entropy");
	assert_int_equal(double_vms[0].edges, 2);
	assert_int_equal(double_vms[0].clock_edges, 2);
	expect("genid one set\r", "error: wrong arguments");
}

static void test_id_is_in_no_event(void **state)
{
	(void)state;
	event_enable(true);
	type("genid one set 01234567-89ab-cdef-0123-456789abcdef\r");
	assert_non_null(strstr(double_out,
			       "\x1e{\"event\":\"genid\",\"vm\":\"one\",\"reason\":\"set\"}\n"));
	assert_non_null(strstr(double_out,
			       "\x1e{\"event\":\"vmclock\",\"vm\":\"one\",\"reason\":\"set\"}\n"));
	type("log\r");
	event_enable(false);
	assert_null(strstr(double_out, "456789abcdef"));
}

static void test_exit(void **state)
{
	(void)state;
	assert_false(monitor_ended());
	type("exit\r");
	assert_true(monitor_ended());
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_editing),
		TEST(test_history),
		TEST(test_long_line),
		TEST(test_list),
		TEST(test_errors_say_what_next),
		TEST(test_pause_resume),
		TEST(test_console_keys),
		TEST(test_log_lines),
		TEST(test_snapshot_restore),
		TEST(test_rollback),
		TEST(test_clone),
		TEST(test_genid),
		TEST(test_id_is_in_no_event),
		TEST(test_exit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
