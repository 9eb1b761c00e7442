/* SPDX-License-Identifier: MIT */
#include <internal/console.h>
#include <internal/event.h>
#include <internal/host.h>
#include <internal/log.h>
#include <internal/monitor.h>
#include <internal/pool.h>
#include <internal/snapshot.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define CHUNK   256
#define WAITING 4096

static struct vm *focus;    /* NULL: the monitor */
static struct vm *previous; /* the VM that had the focus before the monitor */
static bool in_line;        /* the last byte shown was no line feed */
static u64 log_cursor;

/*
 * What is to be written, in the order of its making: the firmware is slow, and a guest that a
 * command started need not wait until it is told about.
 */
static u8 waiting[WAITING];
static size_t waiting_length;

/* ---- a guest's side ---- */

/* The page of a ring at *@page; NULL while the pool is empty. */
static u8 *ring_page(u8 **page)
{
	if (!*page)
		*page = pool_get_page(&machine_pool);
	return *page;
}

static size_t console_chardev_write(void *ctx, const u8 *buf, size_t length)
{
	struct vm *vm = ctx;
	struct console *console = &vm->console;

	for (size_t i = 0; i < length; i++) {
		u64 at = console->out_head % CONSOLE_OUT;
		u8 *page = ring_page(&console->out[at / PAGE_SIZE]);

		if (!page) {
			console->out_lost += length - i;
			break;
		}
		page[at % PAGE_SIZE] = buf[i];
		console->out_head++;
	}
	if (console->out_head - console->out_shown > CONSOLE_OUT) {
		u64 oldest = console->out_head - CONSOLE_OUT;

		console->out_lost += oldest - console->out_shown;
		console->out_shown = oldest;
	}
	return length;
}

static size_t console_chardev_read(void *ctx, u8 *buf, size_t length)
{
	struct vm *vm = ctx;
	struct console *console = &vm->console;
	size_t got = 0;

	while (got < length && console->in_tail != console->in_head)
		buf[got++] = console->in[console->in_tail++ % CONSOLE_IN];
	return got;
}

void console_init_vm(struct vm *vm)
{
	vm->chardev = (struct chardev){
		.write = console_chardev_write, .read = console_chardev_read, .ctx = vm};
}

void console_type(struct vm *vm, const u8 *buf, size_t length)
{
	struct console *console = &vm->console;

	vm_lock(vm);
	while (length-- && console->in_head - console->in_tail < CONSOLE_IN &&
	       ring_page(&console->in))
		console->in[console->in_head++ % CONSOLE_IN] = *buf++;
	if (vm->console_input)
		vm->console_input(vm->console_input_ctx);
	vm_unlock(vm);
}

/* ---- output ---- */

void console_push(void)
{
	size_t length = waiting_length;

	waiting_length = 0;
	if (length)
		host_console_write(waiting, length);
}

static void put(const u8 *buf, size_t length)
{
	while (length) {
		size_t part = (size_t)min_u64(length, WAITING - waiting_length);

		memcpy(waiting + waiting_length, buf, part);
		waiting_length += part;
		buf += part;
		length -= part;
		if (waiting_length == WAITING)
			console_push();
	}
}

static void show(const u8 *buf, size_t length)
{
	if (!length)
		return;
	in_line = buf[length - 1] != '\n';
	put(buf, length);
}

void console_write_event(const u8 *buf, size_t length)
{
	/* Not part of any line: a reader that cuts it out finds the line around it whole. */
	put(buf, length);
}

/* A guest's bytes as they are, but for the mark of events, which it must not forge. */
static void show_guest(const u8 *buf, size_t length)
{
	u8 out[2 * CHUNK];
	size_t at = 0;

	if (!event_enabled()) {
		show(buf, length);
		return;
	}
	for (size_t i = 0; i < length; i++) {
		if (buf[i] == EVENT_MARK) {
			out[at++] = '^';
			out[at++] = '^';
		} else {
			out[at++] = buf[i];
		}
		if (at > sizeof(out) - 2) {
			show(out, at);
			at = 0;
		}
	}
	show(out, at);
}

static bool is_plain(char c)
{
	return (u8)c >= ' ' && c != 0x7f;
}

void console_write_text(const char *text, size_t length)
{
	while (length) {
		size_t plain = 0;
		char c;

		while (plain < length && is_plain(text[plain]))
			plain++;
		show((const u8 *)text, plain);
		text += plain;
		length -= plain;
		if (!length)
			break;
		c = *text++;
		length--;
		if (c == '\n')
			show((const u8 *)"\r\n", 2);
		else
			show((const u8 *)(c == '\t' ? "\t" : "?"), 1);
	}
}

void console_print(const char *format, ...)
{
	char text[1024];
	va_list args;
	int length;

	va_start(args, format);
	length = vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (length > 0)
		console_write_text(text, (size_t)min_u64((u64)length, sizeof(text) - 1));
}

void console_erase(void)
{
	show((const u8 *)"\b \b", 3);
}

void console_fresh_line(void)
{
	if (in_line)
		show((const u8 *)"\r\n", 2);
}

/* The next of what @vm wrote, into @buf; returns how much, and in *@lost what was overwritten. */
static size_t take_output(struct vm *vm, u8 buf[CHUNK], u64 *lost)
{
	struct console *console = &vm->console;
	u64 from, length;

	vm_lock(vm);
	*lost = console->out_lost;
	console->out_lost = 0;
	from = console->out_shown % CONSOLE_OUT;
	length = min_u64(console->out_head - console->out_shown,
			 min_u64(CHUNK, PAGE_SIZE - from % PAGE_SIZE));
	if (length)
		memcpy(buf, console->out[from / PAGE_SIZE] + from % PAGE_SIZE, (size_t)length);
	console->out_shown += length;
	vm_unlock(vm);
	return (size_t)length;
}

/* What comes while it is shown waits for the next time: others have output, too. */
static void drain(struct vm *vm)
{
	u8 buf[CHUNK];
	u64 shown = 0, lost;
	size_t length;

	do {
		length = take_output(vm, buf, &lost);
		if (lost) {
			console_fresh_line();
			console_print("anew: %llu bytes that %s wrote before are lost\n",
				      (unsigned long long)lost, vm->config.name);
		}
		show_guest(buf, length);
		shown += length;
	} while (length && shown < CONSOLE_OUT);
}

static void show_log(void)
{
	char text[CHUNK + 1];
	bool any = false, start = true;
	size_t length;

	while ((length = log_read(&log_cursor, text, CHUNK))) {
		char *piece = text;

		any = true;
		text[length] = 0;
		while (*piece) {
			size_t rest = strcspn(piece, "\n");
			bool ends = piece[rest] == '\n';

			if (start)
				console_fresh_line();
			console_print("%s%.*s%s", start ? "anew: " : "", (int)rest, piece,
				      ends ? "\n" : "");
			piece += rest + ends;
			start = ends;
		}
	}
	if (any && !focus)
		monitor_redraw();
}

/* ---- focus ---- */

struct vm *console_focused(void)
{
	return focus;
}

void console_focus(struct vm *vm)
{
	char name[EVENT_STRING_MAX];

	if (focus)
		drain(focus);
	console_fresh_line();
	if (!vm) {
		if (focus)
			previous = focus;
		focus = NULL;
		event("focus", "\"vm\":null");
		monitor_prompt();
		return;
	}
	console_print("anew: console of %s, Ctrl-] or F12 for the monitor\n", vm->config.name);
	focus = vm;
	previous = vm;
	event("focus", "\"vm\":%s", event_string(name, vm->config.name));
	drain(vm);
}

static void free_rings(struct console *console)
{
	for (u32 i = 0; i < ARRAY_COUNT(console->out); i++)
		if (console->out[i])
			pool_put_page(&machine_pool, console->out[i]);
	if (console->in)
		pool_put_page(&machine_pool, console->in);
	*console = (struct console){0};
}

void console_forget_vm(struct vm *vm)
{
	if (previous == vm)
		previous = NULL;
	if (focus == vm) {
		drain(vm);
		console_fresh_line();
		focus = NULL;
		event("focus", "\"vm\":null");
	}
	free_rings(&vm->console);
}

void console_hand_over(struct vm *from, struct vm *to)
{
	free_rings(&to->console);
	to->console = from->console;
	from->console = (struct console){0};
	if (previous == from)
		previous = to;
	if (focus == from)
		focus = to;
}

static void toggle(void)
{
	struct vm *vm = previous ? previous : vm_first();

	if (focus)
		console_focus(NULL);
	else if (vm)
		console_focus(vm);
}

/* ---- keys ---- */

static void keys(const u8 *buf, size_t length)
{
	size_t at = 0;

	while (at < length) {
		size_t end = at;

		while (end < length && buf[end] != CONSOLE_ESCAPE && focus)
			end++;
		if (end > at)
			console_type(focus, buf + at, end - at);
		at = end;
		if (at == length)
			break;
		if (buf[at] == CONSOLE_ESCAPE)
			toggle();
		else
			monitor_key(buf[at]);
		at++;
	}
}

void console_flush(void)
{
	if (focus)
		drain(focus);
	show_log();
	event_poll();
	snapshot_poll();
	console_push();
}

void console_poll(void)
{
	u8 buf[CHUNK];

	console_flush();
	keys(buf, host_console_read(buf, sizeof(buf)));
}
