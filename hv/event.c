/* SPDX-License-Identifier: MIT */
#include <internal/console.h>
#include <internal/event.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static bool enabled;

void event_enable(bool on)
{
	enabled = on;
}

bool event_enabled(void)
{
	return enabled;
}

const char *event_string(char *buf, const char *text)
{
	size_t at = 0;

	buf[at++] = '"';
	/* Room for one escaped character, the closing quote and the end. */
	for (; *text && at + 4 <= EVENT_STRING_MAX; text++) {
		char c = *text;

		if (c == '"' || c == '\\')
			buf[at++] = '\\';
		buf[at++] = c < ' ' || c > '~' ? '?' : c;
	}
	buf[at++] = '"';
	buf[at] = 0;
	return buf;
}

static size_t append(char *line, size_t at, const char *text)
{
	size_t length = strlen(text);

	HV_ASSERT(at + length < EVENT_MAX / 2);
	memcpy(line + at, text, length);
	return at + length;
}

void event(const char *name, const char *members, ...)
{
	char line[EVENT_MAX];
	va_list args;
	size_t at = 0;
	int rest;

	if (!enabled)
		return;
	line[at++] = EVENT_MARK;
	at = append(line, at, "{\"event\":\"");
	at = append(line, at, name);
	at = append(line, at, "\",");
	va_start(args, members);
	rest = vsnprintf(line + at, sizeof(line) - at, members, args);
	va_end(args);
	/* An object cut in its middle would not be JSON. */
	if (rest <= 0 || (size_t)rest > sizeof(line) - at - 3)
		at--;
	else
		at += (size_t)rest;
	line[at++] = '}';
	line[at++] = '\n';
	console_write_event((const u8 *)line, at);
}

void event_poll(void)
{
	char name[EVENT_STRING_MAX], cause[EVENT_STRING_MAX];

	for (struct vm *vm = vm_first(); vm; vm = vm->next) {
		enum vm_state state;
		bool changed;

		vm_lock(vm);
		changed = vm->state_changed;
		vm->state_changed = false;
		state = vm->state;
		event_string(cause, vm->cause);
		vm_unlock(vm);
		if (changed)
			event("vm", "\"vm\":%s,\"state\":\"%s\",\"cause\":%s",
			      event_string(name, vm->config.name), vm_state_text(state), cause);
	}
}
