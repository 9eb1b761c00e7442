/* SPDX-License-Identifier: MIT */
#include <internal/console.h>
#include <internal/event.h>
#include <internal/monitor.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define PROMPT  "anew> "
#define HISTORY 8

#define HELP_COLUMN 36

#define KEY_CTRL_C    0x03
#define KEY_BACKSPACE 0x08
#define KEY_CTRL_U    0x15
#define KEY_ESC       0x1b
#define KEY_DELETE    0x7f

/* Where in the bytes of an arrow key (ESC [ A) the last key was. */
enum escape {
	ESCAPE_NONE,
	ESCAPE_START,
	ESCAPE_BODY,
};

static const struct monitor_command *const tables[] = {
	monitor_vm_commands,
	monitor_snapshot_commands,
	monitor_genid_commands,
	monitor_info_commands,
};

static char line[MONITOR_LINE_MAX];
static size_t length;
static char history[HISTORY][MONITOR_LINE_MAX]; /* a ring */
static u32 history_count;                       /* lines ever */
static u32 history_back;                        /* how far up the arrow went; 0: a new line */
static enum escape escape;
static bool after_return;
static bool prompting;
static bool ended;

bool monitor_ended(void)
{
	return ended;
}

void monitor_end(void)
{
	ended = true;
}

void monitor_error(const char *format, ...)
{
	char text[512], quoted[EVENT_STRING_MAX];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	console_print("error: %s\n", text);
	event("error", "\"text\":%s", event_string(quoted, text));
}

struct vm *monitor_vm(const char *name)
{
	char names[CONFIG_VM_MAX * (CONFIG_NAME_MAX + 2)] = "";
	struct vm *vm = name ? vm_find(name) : vm_first();
	size_t at = 0;

	if (vm && (name || !vm->next))
		return vm;
	for (vm = vm_first(); vm && at < sizeof(names); vm = vm->next)
		at += (size_t)snprintf(names + at, sizeof(names) - at, "%s%s", at ? ", " : "",
				       vm->config.name);
	if (!at)
		monitor_error("there is no VM; describe one in anew.conf and start anew again");
	else if (name)
		monitor_error("there is no VM %s; there are: %s", name, names);
	else
		monitor_error("there are several VMs; name one: %s", names);
	return NULL;
}

/* ---- commands ---- */

static void help_line(const char *name, const char *usage, const char *text)
{
	char left[64];

	snprintf(left, sizeof(left), "%s %s", name, usage);
	console_print("  %-*s ", HELP_COLUMN, left);
	/* What it does has a column of its own, on lines that any console has room for. */
	if (strlen(left) > HELP_COLUMN)
		console_print("\n  %*s ", HELP_COLUMN, "");
	console_print("%s\n", text);
}

static void help(void)
{
	for (u32 i = 0; i < ARRAY_COUNT(tables); i++)
		for (const struct monitor_command *c = tables[i]; c->name; c++)
			help_line(c->name, c->usage, c->help);
	help_line("help", "", "this list");
	console_print("VM may be left out where it is in [] and there is only one. Ctrl-] or F12 "
		      "changes\nbetween a guest's console and this prompt.\n");
}

static const struct monitor_command *find(const char *name)
{
	for (u32 i = 0; i < ARRAY_COUNT(tables); i++)
		for (const struct monitor_command *c = tables[i]; c->name; c++)
			if (!strcmp(c->name, name))
				return c;
	return NULL;
}

void monitor_run(char *text)
{
	char *words[MONITOR_ARGS_MAX + 1];
	const struct monitor_command *command;
	u32 count = 0;

	for (;;) {
		text += strspn(text, " \t");
		if (!*text)
			break;
		if (count == ARRAY_COUNT(words)) {
			monitor_error("too many words; `help` shows what each command takes");
			return;
		}
		words[count++] = text;
		text += strcspn(text, " \t");
		if (*text)
			*text++ = 0;
	}
	if (!count)
		return;
	if (!strcmp(words[0], "help")) {
		help();
		return;
	}
	command = find(words[0]);
	if (!command)
		monitor_error("there is no command %s; `help` lists them", words[0]);
	else if (!command->fn(count - 1, words + 1))
		monitor_error("wrong arguments; usage: %s%s%s", command->name,
			      *command->usage ? " " : "", command->usage);
}

/* ---- the line ---- */

void monitor_prompt(void)
{
	console_fresh_line();
	length = 0;
	history_back = 0;
	prompting = true;
	console_write_text(PROMPT, sizeof(PROMPT) - 1);
	event("prompt", "%s", "");
}

void monitor_redraw(void)
{
	if (!prompting)
		return;
	console_fresh_line();
	console_print(PROMPT "%.*s", (int)length, line);
}

static void rub_out(size_t count)
{
	while (count-- && length) {
		length--;
		console_erase();
	}
}

static void replace(const char *text)
{
	rub_out(length);
	length = strlen(text);
	memcpy(line, text, length);
	console_print("%s", text);
}

static void go_up(void)
{
	u32 kept = history_count < HISTORY ? history_count : HISTORY;

	if (history_back == kept)
		return;
	history_back++;
	replace(history[(history_count - history_back) % HISTORY]);
}

static void go_down(void)
{
	if (!history_back)
		return;
	history_back--;
	replace(history_back ? history[(history_count - history_back) % HISTORY] : "");
}

static void remember(void)
{
	const char *last = history[(history_count + HISTORY - 1) % HISTORY];

	if (!length || (history_count && !strcmp(last, line)))
		return;
	memcpy(history[history_count++ % HISTORY], line, length + 1);
}

static void enter(void)
{
	line[length] = 0;
	console_print("\n");
	remember();
	prompting = false;
	monitor_run(line);
	/* `console` gave the focus away: the prompt comes when the monitor has it again. */
	if (!ended && !console_focused())
		monitor_prompt();
}

static bool escape_key(u8 key)
{
	switch (escape) {
	case ESCAPE_START:
		escape = key == '[' || key == 'O' ? ESCAPE_BODY : ESCAPE_NONE;
		return true;
	case ESCAPE_BODY:
		/* Parameters come before the final byte. ECMA-48 section 5.4. */
		if (key >= 0x40)
			escape = ESCAPE_NONE;
		if (key == 'A')
			go_up();
		else if (key == 'B')
			go_down();
		return true;
	case ESCAPE_NONE:
		break;
	}
	if (key == KEY_ESC)
		escape = ESCAPE_START;
	return key == KEY_ESC;
}

void monitor_key(u8 key)
{
	bool was_return = after_return;

	if (escape_key(key))
		return;
	after_return = key == '\r';
	switch (key) {
	case '\n':
		if (was_return)
			return;
		enter();
		return;
	case '\r':
		enter();
		return;
	case KEY_BACKSPACE:
	case KEY_DELETE:
		rub_out(1);
		return;
	case KEY_CTRL_U:
		rub_out(length);
		return;
	case KEY_CTRL_C:
		console_print("^C\n");
		monitor_prompt();
		return;
	default:
		break;
	}
	if (key < ' ' || key > '~' || length == sizeof(line) - 1)
		return;
	line[length++] = (char)key;
	console_print("%c", key);
}
