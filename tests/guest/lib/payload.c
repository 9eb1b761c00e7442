/* SPDX-License-Identifier: MIT */
#include "payload.h"
#include <stdarg.h>
#include <stdio.h>

struct _reent;
void *_sbrk_r(struct _reent *reent, ptrdiff_t bytes);

static void (*handlers[PAYLOAD_INTERRUPTS])(uint64_t, uint64_t *);
static enum payload_result worst;
static void *fault_jump[5];
static volatile int fault_number;
static volatile bool catching;

void print(const char *format, ...)
{
	char line[256];
	va_list args;

	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	for (const char *p = line; *p; p++)
		payload_putc(*p);
}

void report(bool ok, const char *format, ...)
{
	char line[200];
	va_list args;

	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	print("%s: %s\n", ok ? "PASS" : "FAIL", line);
	if (!ok)
		worst = PAYLOAD_FAILURE;
}

void payload_skip(const char *why)
{
	print("SKIP: %s\n", why);
	if (worst == PAYLOAD_SUCCESS)
		worst = PAYLOAD_SKIP;
}

void payload_exit(int result)
{
	print("payload: result %d\n", result);
	payload_off(result);
}

void on_interrupt(uint32_t number, void (*handler)(uint64_t, uint64_t *))
{
	handlers[number] = handler;
}

bool payload_handle(uint32_t number, uint64_t *frame)
{
	if (number >= PAYLOAD_INTERRUPTS || !handlers[number])
		return false;
	handlers[number](number, frame);
	return true;
}

bool payload_caught(int number)
{
	if (!catching)
		return false;
	fault_number = number;
	catching = false;
	return true;
}

void payload_jump(void)
{
	__builtin_longjmp(fault_jump, 1);
}

__attribute__((noinline)) int catch_fault(void (*body)(void *), void *ctx)
{
	fault_number = -1;
	catching = true;
	if (!__builtin_setjmp(fault_jump))
		body(ctx);
	catching = false;
	return fault_number;
}

void wait_for_key(void)
{
	while (!payload_typed())
		cpu_relax();
	while (payload_typed())
		;
}

/* newlib's printf wants a heap for what these formats never use; it gets none. */
void *_sbrk_r(struct _reent *reent, ptrdiff_t bytes)
{
	(void)reent;
	(void)bytes;
	return (void *)-1;
}

void payload_run(void)
{
	payload_main();
	payload_exit(worst);
}
