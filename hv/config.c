/* SPDX-License-Identifier: MIT */
#include <ini.h>
#include <hv/log.h>
#include <internal/config.h>
#include <internal/vm.h>
#include <internal/volume.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static_assert(INI_HANDLER_LINENO, "inih is built in another way than config.c uses it");

/* inih takes a longer line for two. */
#define LINE_BYTES ((size_t)INI_MAX_LINE - 2)

#define MEMORY_DEFAULT MIB(256)
#define MEMORY_MIN     MIB(4)
#define MEMORY_MAX     GIB(1024)

/* Stands in a path for the architecture that anew runs on, so that a disk can boot several. */
#define ARCH_WORD "{arch}"

/*
 * A key that follows each section, so that its name is handed over: not every build of inih calls
 * the handler for a section alone.
 */
#define SECTION_KEY "\n.="

/* How much of a wrong word a message repeats. */
#define WORD "%.60s"

/* All intents, with a word for each. */
#define CHOICES_MAX 400

enum section {
	SECTION_NONE, /* before the first */
	SECTION_ANEW,
	SECTION_VM,
	SECTION_WRONG, /* said already; its keys are passed over */
};

struct parser {
	struct config *config;
	const char *arch; /* the name of the one that runs */
	const char *file;
	u32 line;
	bool failed;
	bool in_header;              /* the line in hand is a [section] */
	char header[LINE_BYTES + 1]; /* what it names */
	enum section section;
	u32 seen;            /* its keys so far, by their place in the table */
	struct vm_config vm; /* of [vm NAME] */
	bool vm_wrong;
};

struct key {
	const char *name;
	void (*set)(struct parser *p, const char *value);
};

struct key_table {
	const char *section;
	const char *names;
	const struct key *keys;
	u32 count;
};

#define mistake(p, ...)                                                                            \
	do {                                                                                       \
		(p)->failed = true;                                                                \
		(p)->vm_wrong = true;                                                              \
		log_error(__VA_ARGS__);                                                            \
	} while (0)

const char config_name_rule[] =
	"a name is a letter or digit and then letters, digits, '.', '_' or '-', 31 in all at most";

static bool is_alnum(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

bool config_name_ok(const char *name)
{
	size_t length = strlen(name);

	if (!length || length >= CONFIG_NAME_MAX || !is_alnum(name[0]))
		return false;
	for (; *name; name++)
		if (!is_alnum(*name) && !strchr("._-", *name))
			return false;
	return true;
}

/* What the file may be made of, and so what is in a text: no control characters but tabs. */
static bool is_text(char c)
{
	return ((u8)c >= ' ' || c == '\t') && c != 0x7f;
}

static bool memory_ok(u64 bytes)
{
	return bytes >= MEMORY_MIN && bytes <= MEMORY_MAX && !(bytes % MIB(1));
}

static bool vcpus_ok(u64 count)
{
	return count >= 1 && count <= VM_VCPU_MAX;
}

/* ---- the keys of [vm NAME] ---- */

static bool parse_number(const char *text, u64 *value, const char **end)
{
	const char *at = text;
	u64 n = 0;

	/* Nine digits can't overflow, and nobody has a petabyte. */
	while (*at >= '0' && *at <= '9' && at - text < 10)
		n = n * 10 + (u64)(*at++ - '0');
	*value = n;
	*end = at;
	return at != text && at - text < 10;
}

static bool parse_count(const char *text, u64 *count)
{
	const char *end;

	return parse_number(text, count, &end) && !*end;
}

static bool parse_size(const char *text, u64 *bytes)
{
	const char *end;
	u64 n;

	if (!parse_number(text, &n, &end))
		return false;
	*bytes = MIB(n);
	if (!*end || !strcmp(end, "M") || !strcmp(end, "m"))
		return true;
	*bytes = GIB(n);
	return !strcmp(end, "G") || !strcmp(end, "g");
}

static void set_memory(struct parser *p, const char *value)
{
	u64 n;

	if (!parse_size(value, &n))
		mistake(p, "%s:%u: memory is not a size (" WORD "); write MiB or GiB: 512M, 1G",
			p->file, p->line, value);
	else if (!memory_ok(n))
		mistake(p, "%s:%u: memory is out of range (" WORD "); from 4M to 1024G", p->file,
			p->line, value);
	else
		p->vm.memory = n;
}

static void set_vcpus(struct parser *p, const char *value)
{
	u64 n;

	if (!parse_count(value, &n) || !vcpus_ok(n))
		mistake(p, "%s:%u: vcpus can't be that many (" WORD "); a VM has 1 to %u", p->file,
			p->line, value, VM_VCPU_MAX);
	else
		p->vm.vcpus = (u32)n;
}

static void set_text(struct parser *p, const char *key, char *to, size_t room, const char *value)
{
	size_t length = strlen(value);

	if (length >= room)
		mistake(p, "%s:%u: %s is too long (" WORD "...); at most %u bytes", p->file,
			p->line, key, value, (unsigned)room - 1);
	else
		memcpy(to, value, length + 1);
}

/* A path: @value with ARCH_WORD replaced wherever it is. */
static void set_path(struct parser *p, const char *key, char *to, const char *value)
{
	char path[LINE_BYTES + 1];
	size_t at = 0;

	while (*value && at < sizeof(path) - 1) {
		if (!strncmp(value, ARCH_WORD, strlen(ARCH_WORD))) {
			at += (size_t)snprintf(path + at, sizeof(path) - at, "%s", p->arch);
			value += strlen(ARCH_WORD);
		} else {
			path[at++] = *value++;
		}
	}
	path[min_u64(at, sizeof(path) - 1)] = 0;
	set_text(p, key, to, CONFIG_PATH_MAX, path);
}

static void set_kernel(struct parser *p, const char *value)
{
	if (!*value)
		mistake(p, "%s:%u: kernel is empty; write the path of a file beside anew", p->file,
			p->line);
	set_path(p, "kernel", p->vm.kernel, value);
}

static void set_initrd(struct parser *p, const char *value)
{
	set_path(p, "initrd", p->vm.initrd, value);
}

static void set_cmdline(struct parser *p, const char *value)
{
	set_text(p, "cmdline", p->vm.cmdline, sizeof(p->vm.cmdline), value);
}

static void set_switch(struct parser *p, const char *key, bool *to, const char *value)
{
	if (strcmp(value, "on") && strcmp(value, "off"))
		mistake(p, "%s:%u: %s is wrong (" WORD "); on, off", p->file, p->line, key, value);
	else
		*to = !strcmp(value, "on");
}

static void set_testdev(struct parser *p, const char *value)
{
	set_switch(p, "testdev", &p->vm.testdev, value);
}

static void set_paused(struct parser *p, const char *value)
{
	set_switch(p, "paused", &p->vm.paused, value);
}

static void set_restore(struct parser *p, const char *value)
{
	if (!config_name_ok(value))
		mistake(p, "%s:%u: restore is not a snapshot's name (" WORD "); %s", p->file,
			p->line, value, config_name_rule);
	else
		memcpy(p->vm.restore, value, strlen(value) + 1);
}

static const char *intent_choices(char choices[CHOICES_MAX])
{
	int at = 0;

	for (u32 i = 0; i < INTENT_COUNT && at < CHOICES_MAX; i++)
		at += snprintf(choices + at, CHOICES_MAX - (size_t)at, "%s%s (%s)", i ? ", " : "",
			       intent_text((enum restore_intent)i),
			       intent_description((enum restore_intent)i));
	return choices;
}

static void set_intent(struct parser *p, const char *value)
{
	char choices[CHOICES_MAX];
	enum restore_intent intent;

	if (intent_parse(value, &intent))
		mistake(p, "%s:%u: not an intent (%.20s); %s", p->file, p->line, value,
			intent_choices(choices));
	else
		p->vm.intent = intent;
}

static void set_firmware(struct parser *p, const char *value)
{
	if (strcmp(value, "fdt") && strcmp(value, "acpi"))
		mistake(p, "%s:%u: firmware is wrong (" WORD "); fdt, acpi", p->file, p->line,
			value);
	else
		p->vm.firmware = strcmp(value, "fdt") ? FIRMWARE_ACPI : FIRMWARE_FDT;
}

static const struct key vm_keys[] = {
	{"memory", set_memory},     {"vcpus", set_vcpus},     {"kernel", set_kernel},
	{"initrd", set_initrd},     {"cmdline", set_cmdline}, {"testdev", set_testdev},
	{"restore", set_restore},   {"intent", set_intent},   {"paused", set_paused},
	{"firmware", set_firmware},
};

static const struct key_table vm_table = {
	.section = "vm",
	.names = "memory, vcpus, kernel, initrd, cmdline, testdev, restore, intent, paused, "
		 "firmware",
	.keys = vm_keys,
	.count = ARRAY_COUNT(vm_keys),
};

/* ---- the keys of [anew] ---- */

static void set_events(struct parser *p, const char *value)
{
	if (strcmp(value, "console") && strcmp(value, "off"))
		mistake(p, "%s:%u: events is wrong (" WORD "); console, off", p->file, p->line,
			value);
	else
		p->config->events = !strcmp(value, "console");
}

/* FOLDER, or LABEL:FOLDER on another volume; neither is empty. */
static void set_snapshots(struct parser *p, const char *value)
{
	const char *colon = strchr(value, ':');

	if (!*value || colon == value || (colon && !colon[1]) || strchr(value, '\\'))
		mistake(p,
			"%s:%u: snapshots is not a folder (" WORD "); FOLDER or LABEL:FOLDER, "
			"with / between folders",
			p->file, p->line, value);
	else
		set_text(p, "snapshots", p->config->snapshots, sizeof(p->config->snapshots), value);
}

static void set_part(struct parser *p, const char *value)
{
	u64 n;

	if (!parse_size(value, &n) || n < MIB(1) || n > VOLUME_PART_BYTES)
		mistake(p, "%s:%u: part is no size of a file (" WORD "); from 1M to 2G", p->file,
			p->line, value);
	else
		p->config->part = n;
}

static void set_processors(struct parser *p, const char *value)
{
	u64 n;

	if (!parse_count(value, &n) || !n || n > CPU_MAX)
		mistake(p, "%s:%u: processors can't be that many (" WORD "); from 1 to %u", p->file,
			p->line, value, CPU_MAX);
	else
		p->config->processors = (u32)n;
}

static void set_check(struct parser *p, const char *value)
{
	set_switch(p, "check", &p->config->check, value);
}

static const struct key anew_keys[] = {{"events", set_events},
				       {"snapshots", set_snapshots},
				       {"check", set_check},
				       {"part", set_part},
				       {"processors", set_processors}};

static const struct key_table anew_table = {
	.section = "anew",
	.names = "events, snapshots, check, part, processors",
	.keys = anew_keys,
	.count = ARRAY_COUNT(anew_keys),
};

static void set_key(struct parser *p, const struct key_table *table, const char *name,
		    const char *value)
{
	for (u32 i = 0; i < table->count; i++) {
		if (strcmp(name, table->keys[i].name))
			continue;
		if (p->seen & BIT(i))
			mistake(p, "%s:%u: a second one in this section (" WORD "); leave one out",
				p->file, p->line, name);
		else
			table->keys[i].set(p, value);
		p->seen |= (u32)BIT(i);
		return;
	}
	mistake(p, "%s:%u: not a key of [%s] (" WORD "); %s", p->file, p->line, table->section,
		name, table->names);
}

/* ---- sections ---- */

/* What only the keys together can be wrong about. */
static void vm_check(struct parser *p)
{
	const struct vm_config *vm = &p->vm;
	char choices[CHOICES_MAX];

	if (!vm->kernel[0] && !vm->restore[0])
		mistake(p,
			"%s:%u: [vm %s] has neither a kernel nor a snapshot; add a line: kernel = "
			"FILE, or: restore = SNAPSHOT",
			p->file, vm->line, vm->name);
	else if (vm->restore[0] && vm->intent == INTENT_COUNT)
		mistake(p, "%s:%u: [vm %s] has restore without intent; add a line: intent = %s",
			p->file, vm->line, vm->name, intent_choices(choices));
	else if (!vm->restore[0] && vm->intent != INTENT_COUNT)
		mistake(p,
			"%s:%u: [vm %s] has intent without restore; add a line: restore = "
			"SNAPSHOT, or leave intent out",
			p->file, vm->line, vm->name);
}

static void vm_end(struct parser *p)
{
	if (p->section != SECTION_VM)
		return;
	if (!p->vm_wrong)
		vm_check(p);
	if (!p->vm_wrong)
		p->config->vms[p->config->vm_count++] = p->vm;
}

static void vm_default(struct vm_config *vm)
{
	memset(vm, 0, sizeof(*vm));
	vm->memory = MEMORY_DEFAULT;
	vm->vcpus = 1;
	vm->intent = INTENT_COUNT;
}

static void vm_begin(struct parser *p, const char *name)
{
	p->section = SECTION_VM;
	p->vm_wrong = false;
	vm_default(&p->vm);
	p->vm.line = p->line;
	if (!config_name_ok(name)) {
		mistake(p, "%s:%u: not a name for a VM (" WORD "); %s", p->file, p->line, name,
			config_name_rule);
		return;
	}
	memcpy(p->vm.name, name, strlen(name) + 1);
	for (u32 i = 0; i < p->config->vm_count; i++) {
		const struct vm_config *other = &p->config->vms[i];

		if (!strcmp(other->name, name))
			mistake(p,
				"%s:%u: a second VM of this name (%s); the first is in line %u, "
				"choose another name",
				p->file, p->line, name, other->line);
	}
	if (p->config->vm_count == CONFIG_VM_MAX)
		mistake(p, "%s:%u: one VM too many (%s); there can be %u", p->file, p->line, name,
			CONFIG_VM_MAX);
}

static void section_begin(struct parser *p, const char *section)
{
	vm_end(p);
	p->seen = 0;
	if (!strcmp(section, "anew")) {
		p->section = SECTION_ANEW;
	} else if (!strncmp(section, "vm", 2) && strchr(" \t", section[2])) {
		section += 2;
		section += strspn(section, " \t");
		vm_begin(p, section);
	} else {
		p->section = SECTION_WRONG;
		mistake(p, "%s:%u: not a section (" WORD "); [vm NAME], [anew]", p->file, p->line,
			section);
	}
}

/* inih's own section and line are those of one line only: config_parse() gives it line by line. */
static int handle(void *user, const char *section, const char *name, const char *value, int lineno)
{
	struct parser *p = user;

	(void)lineno;
	if (p->in_header) {
		strcpy(p->header, section);
		return 1;
	}
	switch (p->section) {
	case SECTION_NONE:
		mistake(p, "%s:%u: before any section (" WORD "); begin with [vm NAME] or [anew]",
			p->file, p->line, name);
		break;
	case SECTION_ANEW:
		set_key(p, &anew_table, name, value);
		break;
	case SECTION_VM:
		set_key(p, &vm_table, name, value);
		break;
	case SECTION_WRONG:
		break;
	}
	return 1;
}

/* ---- lines ---- */

static void parse_line(struct parser *p, const char *text, size_t length)
{
	char line[LINE_BYTES + sizeof(SECTION_KEY)];

	if (length && text[length - 1] == '\r')
		length--;
	/* inih, to which each line is the first, would do so behind our back. */
	while (length >= 3 && !memcmp(text, "\xef\xbb\xbf", 3)) {
		text += 3;
		length -= 3;
	}
	if (length > LINE_BYTES) {
		mistake(p, "%s:%u: the line is too long (%.20s...); at most %u bytes", p->file,
			p->line, text, (unsigned)LINE_BYTES);
		return;
	}
	for (size_t i = 0; i < length; i++) {
		if (!is_text(text[i])) {
			mistake(p, "%s:%u: not text (byte 0x%02x at %u); save the file as UTF-8",
				p->file, p->line, (u8)text[i], (unsigned)i + 1);
			return;
		}
	}
	memcpy(line, text, length);
	line[length] = 0;
	p->in_header = line[strspn(line, " \t")] == '[';
	if (p->in_header)
		strcpy(line + length, SECTION_KEY);
	/*
	 * One line at a time: each wrong line is said, not the first alone, and an indented key
	 * is no continuation of the line before.
	 */
	if (!ini_parse_string(line, handle, p)) {
		if (p->in_header)
			section_begin(p, p->header);
		return;
	}
	/* What follows a broken header does not belong to the section before. */
	if (p->in_header) {
		vm_end(p);
		p->section = SECTION_WRONG;
	}
	line[length] = 0;
	mistake(p, "%s:%u: neither a section nor a key (" WORD "); [vm NAME], KEY = VALUE", p->file,
		p->line, line);
}

static void clear(struct config *config)
{
	memset(config, 0, sizeof(*config));
	strcpy(config->snapshots, VOLUME_FOLDER);
	config->part = VOLUME_PART_BYTES;
	config->processors = CPU_MAX;
}

enum hv_error config_parse(struct config *config, const char *arch, const char *file,
			   const char *text, size_t length)
{
	struct parser *p;
	size_t at = 0;
	bool failed;

	clear(config);
	if (length > CONFIG_TEXT_MAX) {
		log_error("%s: too big (%llu KiB); at most %llu KiB are read", file,
			  (unsigned long long)length >> 10,
			  (unsigned long long)CONFIG_TEXT_MAX >> 10);
		return HV_EINVALID;
	}
	p = calloc(1, sizeof(*p));
	if (!p) {
		log_error("%s: no memory to read it", file);
		return HV_ENO_MEMORY;
	}
	p->config = config;
	p->arch = arch;
	p->file = file;
	while (at < length) {
		const char *start = text + at;
		const char *end = memchr(start, '\n', length - at);
		size_t line = end ? (size_t)(end - start) : length - at;

		p->line++;
		parse_line(p, start, line);
		at += line + 1;
	}
	vm_end(p);
	failed = p->failed;
	free(p);
	return failed ? HV_EINVALID : HV_OK;
}

void config_default(struct config *config)
{
	struct vm_config *vm = &config->vms[0];

	clear(config);
	config->vm_count = 1;
	vm_default(vm);
	strcpy(vm->name, "demo");
	strcpy(vm->kernel, "demo.kernel");
	strcpy(vm->initrd, "demo.initrd");
	/*
	 * Linux passes over the console that its machine does not have. The demo's own program
	 * reads the id in memory that a driver may have claimed.
	 */
	strcpy(vm->cmdline, "console=ttyAMA0 console=ttyS0 iomem=relaxed");
}

/* ---- in a snapshot ---- */

/* @text ends in its array, is as anew.conf may have it, and nothing is behind its end. */
static bool text_ok(const char *text, size_t room)
{
	size_t length = strnlen(text, room);

	if (length == room)
		return false;
	for (size_t i = 0; i < room; i++)
		if (i < length ? !is_text(text[i]) : text[i])
			return false;
	return true;
}

static enum hv_error vm_config_check(const void *obj, const char **why)
{
	const struct vm_config *vm = obj;
	u8 testdev;

	/* Any byte, while a bool may only be read when it is one. */
	memcpy(&testdev, &vm->testdev, sizeof(testdev));
	if (!text_ok(vm->name, sizeof(vm->name)) || !config_name_ok(vm->name))
		*why = "the VM's name is not a name";
	else if (!memory_ok(vm->memory))
		*why = "memory is not whole MiB from 4 MiB to 1024 GiB";
	else if (!vcpus_ok(vm->vcpus))
		*why = "the VM has none or more virtual CPUs than this anew gives";
	else if (!text_ok(vm->kernel, sizeof(vm->kernel)) ||
		 !text_ok(vm->initrd, sizeof(vm->initrd)) ||
		 !text_ok(vm->cmdline, sizeof(vm->cmdline)))
		*why = "kernel, initrd or cmdline is not text";
	else if (testdev > 1)
		*why = "testdev is neither on nor off";
	else
		return HV_OK;
	return HV_EINVALID;
}

#define VM_CONFIG_FIELDS(SAVED, TRANSIENT)                                                         \
	SAVED(struct vm_config, name)                                                              \
	SAVED(struct vm_config, memory)                                                            \
	SAVED(struct vm_config, vcpus)                                                             \
	SAVED(struct vm_config, kernel)                                                            \
	SAVED(struct vm_config, initrd)                                                            \
	SAVED(struct vm_config, cmdline)                                                           \
	SAVED(struct vm_config, testdev)                                                           \
	TRANSIENT(struct vm_config, pad, "padding")                                                \
	TRANSIENT(struct vm_config, line, "of the file that it is started by")                     \
	TRANSIENT(struct vm_config, restore, "each start says it anew")                            \
	TRANSIENT(struct vm_config, intent, "each restore says it anew")                           \
	TRANSIENT(struct vm_config, paused, "each start says it anew")                             \
	TRANSIENT(struct vm_config, pad2, "padding")                                               \
	TRANSIENT(struct vm_config, firmware, "saved by the machine of an architecture with both")

STATE_DEFINE(vm_config_state, "config", 1, struct vm_config, VM_CONFIG_FIELDS,
	     .check = vm_config_check);
