/* SPDX-License-Identifier: MIT */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <hv/log.h>
#include <internal/config.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct config config;
static char said[4096];
static u32 lines;

void log_print(enum log_level level, const char *format, ...)
{
	size_t at = strlen(said);
	va_list args;

	assert_int_equal(level, LOG_ERROR);
	va_start(args, format);
	vsnprintf(said + at, sizeof(said) - at, format, args);
	va_end(args);
	strncat(said, "\n", sizeof(said) - strlen(said) - 1);
	lines++;
}

/* In memory of its exact size, so that reading on is seen. */
static enum hv_error parse_bytes(const char *text, size_t length)
{
	char *copy = malloc(length ? length : 1);
	enum hv_error err;

	assert_non_null(copy);
	memcpy(copy, text, length);
	said[0] = 0;
	lines = 0;
	err = config_parse(&config, "anew.conf", copy, length);
	free(copy);
	return err;
}

static enum hv_error parse(const char *text)
{
	return parse_bytes(text, strlen(text));
}

static void refuse(const char *text, const char *message)
{
	assert_int_equal(parse(text), HV_EINVALID);
	assert_int_equal(lines, 1);
	if (!strstr(said, message))
		fail_msg("said: %s, not: %s", said, message);
}

static void test_everything(void **state)
{
	(void)state;
	assert_int_equal(
		parse("[anew]\nevents = console\n"
		      "[vm a]\nmemory = 1G\nvcpus = 1\nkernel = linux/vmlinuz\n"
		      "initrd = linux/initrd\ncmdline = console=ttyS0 quiet\ntestdev = on\n"
		      "[vm b.2]\nkernel=k\nmemory=512\n"),
		HV_OK);
	assert_true(config.events);
	assert_int_equal(config.vm_count, 2);
	assert_string_equal(config.vms[0].name, "a");
	assert_int_equal(config.vms[0].memory, GIB(1));
	assert_string_equal(config.vms[0].kernel, "linux/vmlinuz");
	assert_string_equal(config.vms[0].initrd, "linux/initrd");
	assert_string_equal(config.vms[0].cmdline, "console=ttyS0 quiet");
	assert_true(config.vms[0].testdev);
	assert_int_equal(config.vms[0].line, 3);
	assert_string_equal(config.vms[1].name, "b.2");
	assert_int_equal(config.vms[1].memory, MIB(512));
	assert_int_equal(config.vms[1].vcpus, 1);
	assert_string_equal(config.vms[1].initrd, "");
	assert_false(config.vms[1].testdev);
}

static void test_line_ends(void **state)
{
	(void)state;
	assert_int_equal(parse("\xef\xbb\xbf[vm a]\r\n\r\n; a comment\r\n"
			       "kernel = k\r\n\tmemory = 64M"),
			 HV_OK);
	assert_int_equal(config.vm_count, 1);
	assert_string_equal(config.vms[0].kernel, "k");
	assert_int_equal(config.vms[0].memory, MIB(64));
	/* Where files were put one behind the other. */
	assert_int_equal(parse("[vm a]\nkernel=k\n\xef\xbb\xbf[vm b]\nkernel=k\n"), HV_OK);
	assert_int_equal(config.vm_count, 2);
	assert_int_equal(parse(""), HV_OK);
	assert_int_equal(config.vm_count, 0);
}

static void test_mistakes(void **state)
{
	(void)state;
	refuse("[vm a]\nmemory = 64M\n", "anew.conf:1: [vm a] has no kernel");
	refuse("[vm a]\nkernel=\n", "anew.conf:2: kernel is empty");
	refuse("[vm a]\nkernel=k\nmemory=12T\n", "anew.conf:3: memory is not a size (12T)");
	refuse("[vm a]\nkernel=k\nmemory=0\n", "memory is out of range (0)");
	refuse("[vm a]\nkernel=k\nmemory=99999999999999999999M\n", "memory is not a size");
	refuse("[vm a]\nkernel=k\nvcpus=2\n", "anew.conf:3: vcpus");
	refuse("[vm a]\nkernel=k\ntestdev=yes\n", "(yes); on, off");
	refuse("[vm a]\nkernel=k\nkernal=j\n", "(kernal); memory, vcpus, kernel, initrd, cmdline");
	refuse("[vm a]\nkernel=k\nkernel=j\n", "anew.conf:3: a second one in this section");
	refuse("[vm -a]\nkernel=k\n", "not a name for a VM (-a)");
	refuse("[vm a/b]\nkernel=k\n", "not a name for a VM (a/b)");
	refuse("[vm]\nkernel=k\n", "not a name for a VM ()");
	refuse("[vm a123456789012345678901234567890123456789]\nkernel=k\n", "not a name for a VM");
	refuse("[vma]\nkernel=k\n", "anew.conf:1: not a section (vma); [vm NAME], [anew]");
	refuse("kernel=k\n", "anew.conf:1: before any section (kernel)");
	refuse("[anew]\nevent=on\n", "not a key of [anew] (event); events");
	refuse("[anew]\nevents=on\n", "(on); console, off");
	refuse("[vm a]\nkernel=k\nwhat\n", "anew.conf:3: neither a section nor a key (what)");
	refuse("[vm a]\nkernel=k\ncmdline=\x1b[2J\n", "anew.conf:3: not text (byte 0x1b at 9)");
	assert_int_equal(parse_bytes("[vm a]\nker\0nel=k\n", 17), HV_EINVALID);
	assert_non_null(strstr(said, "byte 0x00"));
}

static void test_others_are_kept(void **state)
{
	(void)state;
	assert_int_equal(parse("[vm a]\nkernel=k\n[vm b]\nkernel=k\nmemory=x\n[vm a]\nkernel=k\n"
			       "[vm c]\nkernel=k\n[vm d\nmemory=nonsense\n"),
			 HV_EINVALID);
	assert_int_equal(lines, 3);
	assert_non_null(strstr(said, "anew.conf:6: a second VM of this name (a); the first is in "
				     "line 1"));
	assert_int_equal(config.vm_count, 2);
	assert_string_equal(config.vms[0].name, "a");
	assert_string_equal(config.vms[1].name, "c");
}

static void test_bounds(void **state)
{
	static char text[CONFIG_TEXT_MAX + 2];
	size_t at = 0;

	(void)state;
	at += (size_t)sprintf(text, "[vm a]\nkernel=");
	memset(text + at, 'k', CONFIG_PATH_MAX - 1);
	assert_int_equal(parse(text), HV_OK);
	text[at + CONFIG_PATH_MAX - 1] = 'k';
	text[at + CONFIG_PATH_MAX] = 0;
	refuse(text, "anew.conf:2: kernel is too long");
	memset(text + at, 'k', 5000);
	refuse(text, "anew.conf:2: the line is too long (kernel=kkkkk");

	for (u32 i = 0, length = 0; i <= CONFIG_VM_MAX; i++)
		length += (u32)sprintf(text + length, "[vm v%u]\nkernel=k\n", i);
	refuse(text, "one VM too many (v16)");
	assert_int_equal(config.vm_count, CONFIG_VM_MAX);

	memset(text, '\n', sizeof(text));
	assert_int_equal(parse_bytes(text, CONFIG_TEXT_MAX), HV_OK);
	assert_int_equal(parse_bytes(text, CONFIG_TEXT_MAX + 1), HV_EINVALID);
	assert_non_null(strstr(said, "too big"));
}

static void test_default(void **state)
{
	(void)state;
	config_default(&config);
	assert_int_equal(config.vm_count, 1);
	assert_string_equal(config.vms[0].name, "demo");
	assert_int_equal(config.vms[0].vcpus, 1);
	assert_false(config.events);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_everything), cmocka_unit_test(test_line_ends),
		cmocka_unit_test(test_mistakes),   cmocka_unit_test(test_others_are_kept),
		cmocka_unit_test(test_bounds),     cmocka_unit_test(test_default),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
