/* SPDX-License-Identifier: MIT */
#include "payload.h"
#include <stdarg.h>
#include <stdio.h>

extern char payload_stubs[];
void payload_run(void);
void payload_interrupt(uint64_t vector, uint64_t *frame);
void *sbrk(ptrdiff_t bytes);

static struct {
	uint16_t offset_low, selector;
	uint8_t ist, type;
	uint16_t offset_middle;
	uint32_t offset_high, zero;
} idt[256] __attribute__((aligned(16)));
static void (*handlers[256])(uint64_t, uint64_t *);
static enum payload_result worst;
static void *fault_jump[5];
static volatile int fault_vector;
static volatile bool catching;

void print(const char *format, ...)
{
	char line[256];
	va_list args;

	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	for (const char *p = line; *p; p++)
		outb(PORT_PUTC, (uint8_t)*p);
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
	outb(PORT_EXIT, (uint8_t)result);
	for (;;)
		__asm__ volatile("cli; hlt");
}

void on_interrupt(uint8_t vector, void (*handler)(uint64_t, uint64_t *))
{
	handlers[vector] = handler;
}

void payload_interrupt(uint64_t vector, uint64_t *frame)
{
	if (handlers[vector]) {
		handlers[vector](vector, frame);
		return;
	}
	if (catching && vector < 32) {
		fault_vector = (int)vector;
		catching = false;
		__builtin_longjmp(fault_jump, 1);
	}
	print("ERROR: exception %d at %llx, error code %llx\n", (int)vector,
	      (unsigned long long)frame[1], (unsigned long long)frame[0]);
	payload_exit(PAYLOAD_ERROR);
}

__attribute__((noinline)) int catch_fault(void (*body)(void *), void *ctx)
{
	fault_vector = -1;
	catching = true;
	if (!__builtin_setjmp(fault_jump))
		body(ctx);
	catching = false;
	return fault_vector;
}

/* newlib's printf wants a heap for what these formats never use; it gets none. */
void *sbrk(ptrdiff_t bytes)
{
	(void)bytes;
	return (void *)-1;
}

void payload_run(void)
{
	struct {
		uint16_t limit;
		uint64_t base;
	} __attribute__((packed)) pointer = {sizeof(idt) - 1, (uint64_t)idt};

	for (int i = 0; i < 256; i++) {
		uint64_t stub = (uint64_t)payload_stubs + 16 * (uint64_t)i;

		idt[i].offset_low = (uint16_t)stub;
		idt[i].selector = 8;
		idt[i].type = 0x8e;
		idt[i].offset_middle = (uint16_t)(stub >> 16);
		idt[i].offset_high = (uint32_t)(stub >> 32);
	}
	__asm__ volatile("lidt %0" : : "m"(pointer));
	payload_main();
	payload_exit(worst);
}
