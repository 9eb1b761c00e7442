/* SPDX-License-Identifier: MIT */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <hv/log.h>
#include <internal/config.h>
#include <internal/log.h>
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
	err = config_parse(&config, "fake", "anew.conf", copy, length);
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
	assert_false(config.check);
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

static void test_paths_of_an_architecture(void **state)
{
	(void)state;
	assert_int_equal(parse("[vm a]\nkernel = demo/{arch}/{arch}.k\ninitrd = {arch\n"
			       "cmdline = {arch}\n"),
			 HV_OK);
	assert_string_equal(config.vms[0].kernel, "demo/fake/fake.k");
	assert_string_equal(config.vms[0].initrd, "{arch");
	assert_string_equal(config.vms[0].cmdline, "{arch}");
	refuse("[vm a]\nkernel = "
	       "{arch}{arch}{arch}{arch}{arch}{arch}{arch}{arch}{arch}{arch}{arch}"
	       "{arch}{arch}{arch}{arch}{arch}{arch}{arch}{arch}{arch}{arch}{arch}"
	       "{arch}{arch}{arch}{arch}{arch}{arch}{arch}{arch}{arch}{arch}{arch}\n",
	       "anew.conf:2: kernel is too long");
}

static void test_mistakes(void **state)
{
	(void)state;
	refuse("[vm a]\nmemory = 64M\n", "anew.conf:1: [vm a] has neither a kernel nor a snapshot");
	refuse("[vm a]\nkernel=\n", "anew.conf:2: kernel is empty");
	refuse("[vm a]\nkernel=k\nmemory=12T\n", "anew.conf:3: memory is not a size (12T)");
	refuse("[vm a]\nkernel=k\nmemory=0\n", "memory is out of range (0)");
	refuse("[vm a]\nkernel=k\nmemory=99999999999999999999M\n", "memory is not a size");
	refuse("[vm a]\nkernel=k\nvcpus=9\n",
	       "anew.conf:3: vcpus can't be that many (9); a VM has 1 to 8");
	refuse("[vm a]\nkernel=k\nvcpus=0\n", "anew.conf:3: vcpus");
	refuse("[vm a]\nkernel=k\ntestdev=yes\n", "(yes); on, off");
	refuse("[vm a]\nkernel=k\nkernal=j\n", "(kernal); memory, vcpus, kernel, initrd, cmdline");
	refuse("[vm a]\nkernel=k\nkernel=j\n", "anew.conf:3: a second one in this section");
	refuse("[vm -a]\nkernel=k\n", "not a name for a VM (-a)");
	refuse("[vm a/b]\nkernel=k\n", "not a name for a VM (a/b)");
	refuse("[vm]\nkernel=k\n", "not a name for a VM ()");
	refuse("[vm a123456789012345678901234567890123456789]\nkernel=k\n", "not a name for a VM");
	refuse("[vma]\nkernel=k\n", "anew.conf:1: not a section (vma); [vm NAME], [anew]");
	refuse("kernel=k\n", "anew.conf:1: before any section (kernel)");
	refuse("[anew]\nevent=on\n",
	       "not a key of [anew] (event); events, snapshots, check, part, processors");
	refuse("[anew]\ncheck=yes\n", "check is wrong (yes); on, off");
	refuse("[anew]\nevents=on\n", "(on); console, off");
	refuse("[anew]\nevents=off\nevents=console\n", "anew.conf:3: a second one");
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

static void test_restore(void **state)
{
	(void)state;
	assert_int_equal(parse("[vm a]\nrestore = s.1\nintent = rollback\npaused = on\n"
			       "[vm b]\nkernel=k\nmemory=64M\nintent=clone\nrestore=s2\n"
			       "paused=off\n"
			       "[vm c]\nkernel=k\npaused=on\n"),
			 HV_OK);
	assert_int_equal(config.vm_count, 3);
	assert_string_equal(config.vms[0].restore, "s.1");
	assert_int_equal(config.vms[0].intent, INTENT_ROLLBACK);
	assert_true(config.vms[0].paused);
	assert_string_equal(config.vms[0].kernel, "");
	assert_string_equal(config.vms[1].restore, "s2");
	assert_int_equal(config.vms[1].intent, INTENT_CLONE);
	assert_false(config.vms[1].paused);
	assert_string_equal(config.vms[2].restore, "");
	assert_int_equal(config.vms[2].intent, INTENT_COUNT);
	assert_true(config.vms[2].paused);
	for (u32 i = 0; i < INTENT_COUNT; i++) {
		char text[80];

		sprintf(text, "[vm a]\nrestore=s\nintent=%s\n",
			intent_text((enum restore_intent)i));
		assert_int_equal(parse(text), HV_OK);
		assert_int_equal(config.vms[0].intent, i);
	}
}

static void test_firmware(void **state)
{
	(void)state;
	assert_int_equal(parse("[vm a]\nkernel=k\nfirmware = acpi\n"
			       "[vm b]\nkernel=k\nfirmware=fdt\n[vm c]\nkernel=k\n"),
			 HV_OK);
	assert_int_equal(config.vms[0].firmware, FIRMWARE_ACPI);
	assert_int_equal(config.vms[1].firmware, FIRMWARE_FDT);
	assert_int_equal(config.vms[2].firmware, FIRMWARE_USUAL);
	refuse("[vm a]\nkernel=k\nfirmware=uefi\n",
	       "anew.conf:3: firmware is wrong (uefi); fdt, acpi");
	refuse("[vm a]\nkernel=k\nfirmware=\n", "firmware is wrong (); fdt, acpi");
}

static void test_restore_mistakes(void **state)
{
	(void)state;
	refuse("[vm a]\nkernel=k\nintent=clone\n",
	       "anew.conf:1: [vm a] has intent without restore");
	refuse("[vm a]\nintent=clone\n", "kernel = FILE, or: restore = SNAPSHOT");
	refuse("[vm a]\nrestore=\nintent=clone\n",
	       "anew.conf:2: restore is not a snapshot's name ()");
	refuse("[vm a]\nrestore=a/b\nintent=clone\n", "restore is not a snapshot's name (a/b)");
	refuse("[vm a]\nrestore=s\nintent=Clone\n", "anew.conf:3: not an intent (Clone); resume (");
	refuse("[vm a]\nrestore=s\nintent=clone\nintent=import\n", "anew.conf:4: a second one");
	refuse("[vm a]\nkernel=k\npaused=yes\n", "paused is wrong (yes); on, off");
}

/* However long the name and the word: with the time before it the line is not cut. */
static void test_intents_in_one_line(void **state)
{
	static const char *const texts[] = {
		"[vm a234567890123456789012345678901]\nrestore=s\n",
		"[vm a]\nrestore=s\nintent=a2345678901234567890123456789012345678901234567890\n",
	};

	(void)state;
	for (u32 i = 0; i < ARRAY_COUNT(texts); i++) {
		refuse(texts[i], "anew.conf:");
		assert_in_range(strlen(said), 1, LOG_LINE_MAX - 32);
		for (u32 j = 0; j < INTENT_COUNT; j++) {
			assert_non_null(strstr(said, intent_text((enum restore_intent)j)));
			assert_non_null(strstr(said, intent_description((enum restore_intent)j)));
		}
	}
}

static void test_snapshots(void **state)
{
	char text[CONFIG_PATH_MAX + 40] = "[anew]\nsnapshots=";
	size_t at = strlen(text);

	(void)state;
	assert_int_equal(parse("[anew]\nsnapshots = keep/here\n"), HV_OK);
	assert_string_equal(config.snapshots, "keep/here");
	assert_int_equal(parse("[anew]\nsnapshots = DATA:snaps\n"), HV_OK);
	assert_string_equal(config.snapshots, "DATA:snaps");
	assert_int_equal(parse("[vm a]\nkernel=k\n"), HV_OK);
	assert_string_equal(config.snapshots, "snapshots");
	refuse("[anew]\nsnapshots=\n", "anew.conf:2: snapshots is not a folder ()");
	assert_string_equal(config.snapshots, "snapshots");
	refuse("[anew]\nsnapshots=a\\b\n", "(a\\b); FOLDER or LABEL:FOLDER");
	refuse("[anew]\nsnapshots=DATA:\n", "(DATA:)");
	refuse("[anew]\nsnapshots=:snaps\n", "(:snaps)");
	memset(text + at, 'f', CONFIG_PATH_MAX - 1);
	assert_int_equal(parse(text), HV_OK);
	text[at + CONFIG_PATH_MAX - 1] = 'f';
	refuse(text, "snapshots is too long");
	assert_string_equal(config.snapshots, "snapshots");
}

static void test_processors(void **state)
{
	(void)state;
	assert_int_equal(parse(""), HV_OK);
	assert_int_equal(config.processors, 64);
	assert_int_equal(parse("[anew]\nprocessors = 2\n"), HV_OK);
	assert_int_equal(config.processors, 2);
	refuse("[anew]\nprocessors=0\n",
	       "anew.conf:2: processors can't be that many (0); from 1 to 64");
	refuse("[anew]\nprocessors=65\n", "processors can't be that many (65)");
}

static void test_part(void **state)
{
	static const char *const wrong[] = {"", "0", "1.5G", "2049", "3G", "64K", "512 M"};

	(void)state;
	assert_int_equal(parse("[anew]\npart = 64M\n"), HV_OK);
	assert_int_equal(config.part, MIB(64));
	assert_int_equal(parse("[anew]\npart = 2G\n"), HV_OK);
	assert_int_equal(config.part, GIB(2));
	assert_int_equal(parse("[vm a]\nkernel=k\n"), HV_OK);
	assert_int_equal(config.part, GIB(2));
	for (u32 i = 0; i < ARRAY_COUNT(wrong); i++) {
		char text[40];

		sprintf(text, "[anew]\npart=%s\n", wrong[i]);
		refuse(text, "anew.conf:2: part is no size of a file (");
		assert_int_equal(config.part, GIB(2));
	}
}

/* ---- the record of a snapshot ---- */

static const struct vm_config sound = {
	.name = "a",
	.memory = MIB(64),
	.vcpus = 1,
	.kernel = "linux/vmlinuz",
	.cmdline = "console=ttyS0\tquiet \xc3\xa4",
	.testdev = true,
};

static void accepts(const struct vm_config *vm)
{
	const char *why = NULL;

	assert_int_equal(vm_config_state.check(vm, &why), HV_OK);
	assert_null(why);
}

static void rejects(const struct vm_config *vm, const char *word)
{
	const char *why = NULL;

	assert_int_equal(vm_config_state.check(vm, &why), HV_EINVALID);
	assert_non_null(why);
	if (!strstr(why, word))
		fail_msg("why: %s, not: %s", why, word);
}

static void test_record(void **state)
{
	struct vm_config vm = sound, loaded;
	u8 packed[sizeof(vm)];

	(void)state;
	/* What a start says is of no snapshot. */
	vm.line = 7;
	strcpy(vm.restore, "s");
	vm.paused = true;
	vm.firmware = FIRMWARE_ACPI;
	state_pack(&vm_config_state, &vm, packed);
	memset(&loaded, 0, sizeof(loaded));
	state_unpack(&vm_config_state, &loaded, packed);
	assert_memory_equal(&loaded, &sound, sizeof(sound));
	accepts(&loaded);
	/* What the parser takes the check takes as well. */
	assert_int_equal(parse("[vm a]\nkernel=k\tl\nmemory=4M\n"
			       "[vm b]\nkernel=k\nmemory=1024G\ncmdline=\xff\n"),
			 HV_OK);
	accepts(&config.vms[0]);
	accepts(&config.vms[1]);
	config_default(&config);
	accepts(&config.vms[0]);
}

static void test_record_texts(void **state)
{
	static const struct {
		size_t at, room;
		const char *word;
	} texts[] = {
		{offsetof(struct vm_config, name), CONFIG_NAME_MAX, "name"},
		{offsetof(struct vm_config, kernel), CONFIG_PATH_MAX, "kernel"},
		{offsetof(struct vm_config, initrd), CONFIG_PATH_MAX, "initrd"},
		{offsetof(struct vm_config, cmdline), CONFIG_CMDLINE_MAX, "cmdline"},
	};

	(void)state;
	for (u32 i = 0; i < ARRAY_COUNT(texts); i++) {
		struct vm_config vm = sound;
		char *text = (char *)&vm + texts[i].at;

		memset(text, 'x', texts[i].room);
		rejects(&vm, texts[i].word);
		text[texts[i].room - 1] = 0;
		accepts(&vm);
		text[1] = 0;
		rejects(&vm, texts[i].word);
		memset(text + 1, 0, texts[i].room - 1);
		accepts(&vm);
		text[texts[i].room - 1] = 'x';
		rejects(&vm, texts[i].word);
		text[texts[i].room - 1] = 0;
		for (u32 c = 1; c < 256; c++) {
			text[1] = (char)c;
			if (c == '\t' || (c >= ' ' && c != 0x7f))
				continue;
			rejects(&vm, texts[i].word);
		}
	}
}

static void test_record_values(void **state)
{
	static const u64 memories[] = {
		0, 1, MIB(3), MIB(64) + 1, GIB(1024) + MIB(1), UINT64_MAX, ~(MIB(1) - 1)};
	struct vm_config vm = sound;
	const u8 flag = 2;

	(void)state;
	for (u32 i = 0; i < ARRAY_COUNT(memories); i++) {
		vm.memory = memories[i];
		rejects(&vm, "memory");
	}
	vm = sound;
	vm.vcpus = 0;
	rejects(&vm, "virtual CPUs");
	vm.vcpus = UINT32_MAX;
	rejects(&vm, "virtual CPUs");
	vm = sound;
	vm.name[0] = '-';
	rejects(&vm, "name");
	vm.name[0] = 0;
	rejects(&vm, "name");
	vm = sound;
	memcpy(&vm.testdev, &flag, 1);
	rejects(&vm, "testdev");
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
	assert_string_equal(config.snapshots, "snapshots");
}

static void test_default(void **state)
{
	(void)state;
	config_default(&config);
	assert_int_equal(config.vm_count, 1);
	assert_string_equal(config.vms[0].name, "demo");
	assert_int_equal(config.vms[0].vcpus, 1);
	assert_false(config.events);
	assert_false(config.vms[0].paused);
	assert_string_equal(config.vms[0].restore, "");
	assert_string_equal(config.snapshots, "snapshots");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_everything),
		cmocka_unit_test(test_line_ends),
		cmocka_unit_test(test_paths_of_an_architecture),
		cmocka_unit_test(test_mistakes),
		cmocka_unit_test(test_others_are_kept),
		cmocka_unit_test(test_restore),
		cmocka_unit_test(test_firmware),
		cmocka_unit_test(test_restore_mistakes),
		cmocka_unit_test(test_intents_in_one_line),
		cmocka_unit_test(test_snapshots),
		cmocka_unit_test(test_part),
		cmocka_unit_test(test_processors),
		cmocka_unit_test(test_record),
		cmocka_unit_test(test_record_texts),
		cmocka_unit_test(test_record_values),
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_default),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
