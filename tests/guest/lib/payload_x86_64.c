/* SPDX-License-Identifier: MIT */
#include "payload.h"

#define UART_DATA     0x3f8
#define UART_STATUS   0x3fd
#define UART_RECEIVED 0x01

extern char payload_stubs[];
void payload_setup(void);
void payload_interrupt(uint64_t vector, uint64_t *frame);

static struct {
	uint16_t offset_low, selector;
	uint8_t ist, type;
	uint16_t offset_middle;
	uint32_t offset_high, zero;
} idt[PAYLOAD_INTERRUPTS] __attribute__((aligned(16)));

/* For LIDT, on processors that are started later as well (ap_x86_64.S). */
const struct {
	uint16_t limit;
	const void *base;
} __attribute__((packed)) payload_idt = {sizeof(idt) - 1, idt};

void payload_putc(char c)
{
	outb(PORT_PUTC, (uint8_t)c);
}

bool payload_typed(void)
{
	if (!(inb(UART_STATUS) & UART_RECEIVED))
		return false;
	(void)inb(UART_DATA);
	return true;
}

void payload_off(int result)
{
	outb(PORT_EXIT, (uint8_t)result);
	for (;;)
		__asm__ volatile("cli; hlt");
}

void payload_interrupt(uint64_t vector, uint64_t *frame)
{
	if (payload_handle((uint32_t)vector, frame))
		return;
	if (vector < 32 && payload_caught((int)vector))
		payload_jump();
	print("ERROR: exception %d at %llx, error code %llx\n", (int)vector,
	      (unsigned long long)frame[1], (unsigned long long)frame[0]);
	payload_exit(PAYLOAD_ERROR);
}

void payload_setup(void)
{
	for (int i = 0; i < PAYLOAD_INTERRUPTS; i++) {
		uint64_t stub = (uint64_t)payload_stubs + 16 * (uint64_t)i;

		idt[i].offset_low = (uint16_t)stub;
		idt[i].selector = 8;
		idt[i].type = 0x8e;
		idt[i].offset_middle = (uint16_t)(stub >> 16);
		idt[i].offset_high = (uint32_t)(stub >> 32);
	}
	__asm__ volatile("lidt %0" : : "m"(payload_idt));
	payload_run();
}
