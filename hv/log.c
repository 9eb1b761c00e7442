/* SPDX-License-Identifier: MIT */
#include <internal/arch.h>
#include <internal/log.h>
#include <internal/version.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define LINES_PER_SECOND 10u

void (*log_panic_hook)(const char *line);
void (*log_panic_details)(void);

static struct lock ring_lock = LOCK_INIT(LOG);
static char ring[LOG_RING_BYTES];
static u64 written; /* bytes ever */
static enum log_level threshold = LOG_INFO;

enum log_level log_level_get(void)
{
	return threshold;
}

void log_level_set(enum log_level level)
{
	threshold = level;
}

static u64 host_time(u64 unit)
{
	u64 hz = arch_counter_hz();

	return hz ? muldiv_u64(arch_counter(), unit, hz) : 0;
}

static void ring_put(const char *text, size_t length)
{
	size_t at = written % LOG_RING_BYTES;
	size_t first = (size_t)min_u64(length, LOG_RING_BYTES - at);

	memcpy(ring + at, text, first);
	memcpy(ring, text + first, length - first);
	written += length;
}

static void ring_put_locked(const char *text, size_t length)
{
	lock_take(&ring_lock);
	ring_put(text, length);
	lock_release(&ring_lock);
}

size_t log_read(u64 *cursor, char *buf, size_t length)
{
	size_t at, first;

	lock_take(&ring_lock);
	if (written - *cursor > LOG_RING_BYTES) {
		*cursor = written - LOG_RING_BYTES;
		while (*cursor < written && ring[(*cursor)++ % LOG_RING_BYTES] != '\n')
			;
	}
	length = (size_t)min_u64(length, written - *cursor);
	at = *cursor % LOG_RING_BYTES;
	first = (size_t)min_u64(length, LOG_RING_BYTES - at);
	memcpy(buf, ring + at, first);
	memcpy(buf + first, ring, length - first);
	*cursor += length;
	lock_release(&ring_lock);
	return length;
}

/* Formats a line with its end; returns its length. */
HV_PRINTF(3, 0)
static size_t format_line(char line[LOG_LINE_MAX], const char *label, const char *format,
			  va_list args)
{
	u64 us = host_time(1000000);
	size_t room = LOG_LINE_MAX - 1; /* for the line's end; snprintf's 0 counts already */
	size_t length;
	int n;

	n = snprintf(line, room, "[%5llu.%06llu] %s", (unsigned long long)(us / 1000000),
		     (unsigned long long)(us % 1000000), label);
	length = n < 0 ? 0 : (size_t)n;
	n = vsnprintf(line + length, room - length, format, args);
	if (n > 0)
		length += (size_t)n;
	if (length > room - 1) {
		length = room - 1;
		memcpy(line + length - 3, "...", 3);
	}
	/* What came in from outside can neither end the line nor steer the terminal. */
	for (size_t i = 0; i < length; i++)
		if ((u8)line[i] < ' ' || line[i] == 0x7f)
			line[i] = '?';
	line[length++] = '\n';
	line[length] = 0;
	return length;
}

static const char *label_of(enum log_level level)
{
	switch (level) {
	case LOG_ERROR:
		return "error: ";
	case LOG_WARN:
		return "warning: ";
	case LOG_DEBUG:
		return "debug: ";
	case LOG_INFO:
		break;
	}
	return "";
}

HV_PRINTF(2, 0)
static void print_args(enum log_level level, const char *format, va_list args)
{
	char line[LOG_LINE_MAX];

	ring_put_locked(line, format_line(line, label_of(level), format, args));
}

void log_print(enum log_level level, const char *format, ...)
{
	va_list args;

	if (level > threshold)
		return;
	va_start(args, format);
	print_args(level, format, args);
	va_end(args);
}

void log_limited(struct log_limit *limit, enum log_level level, const char *format, ...)
{
	u64 second;
	va_list args;

	if (level > threshold)
		return;
	second = host_time(1);
	if (second != limit->second) {
		u32 dropped = limit->dropped;

		*limit = (struct log_limit){.second = second};
		if (dropped) {
			limit->used = 1;
			log_print(level, "%u more lines of this kind were left out", dropped);
		}
	}
	if (limit->used == LINES_PER_SECOND) {
		limit->dropped++;
		return;
	}
	limit->used++;
	va_start(args, format);
	print_args(level, format, args);
	va_end(args);
}

void log_panic_line(const char *format, ...)
{
	static char line[LOG_LINE_MAX]; /* the stack may be what is broken */
	va_list args;

	va_start(args, format);
	/* Whoever has the ring's lock may be the one that fails, or never go on. */
	ring_put(line, format_line(line, "panic: ", format, args));
	va_end(args);
	if (log_panic_hook)
		log_panic_hook(line);
}

void panic(const char *format, ...)
{
	static bool panicking; /* atomic: of several processors that do, the first one is shown */
	static char reason[LOG_LINE_MAX];
	va_list args;

	if (!__atomic_exchange_n(&panicking, true, __ATOMIC_SEQ_CST)) {
		va_start(args, format);
		vsnprintf(reason, sizeof(reason), format, args);
		va_end(args);
		log_panic_line("%s", reason);
		log_panic_line("this is build %s", anew_build);
		if (log_panic_details)
			log_panic_details();
	}
	for (;;)
		__asm__ volatile("");
}
