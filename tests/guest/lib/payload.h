/* SPDX-License-Identifier: MIT */
/*
 * Runtime of payload kernels: small kernels of our own that check one thing each under anew. They
 * write to the debug port and end by the exit port, and report success, skip, error or failure; the
 * worst of them is the result.
 */
#ifndef PAYLOAD_H
#define PAYLOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum payload_result {
	PAYLOAD_SUCCESS = 0,
	PAYLOAD_SKIP = 3,    /* could not be tested here, for the reason that was printed */
	PAYLOAD_ERROR = 4,   /* the test itself went wrong */
	PAYLOAD_FAILURE = 5, /* what was tested is wrong */
};

#define PORT_PUTC 0xe9
#define PORT_EXIT 0xf4

/* The test. Returning ends it with the worst result so far. */
void payload_main(void);

__attribute__((format(printf, 1, 2))) void print(const char *format, ...);
/* One check: prints PASS or FAIL with the text. */
__attribute__((format(printf, 2, 3))) void report(bool ok, const char *format, ...);
__attribute__((noreturn)) void payload_exit(int result);
void payload_skip(const char *why);

/* Interrupts and exceptions of @vector go to @handler; frame[0] is the error code, [1] the RIP. */
void on_interrupt(uint8_t vector, void (*handler)(uint64_t vector, uint64_t *frame));
/* Runs @body; the vector of the exception it raised, or -1. It must be a short leaf function. */
int catch_fault(void (*body)(void *ctx), void *ctx);

static inline void outb(uint16_t port, uint8_t value)
{
	__asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

static inline uint8_t inb(uint16_t port)
{
	uint8_t value;

	__asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
	return value;
}

static inline uint32_t inl(uint16_t port)
{
	uint32_t value;

	__asm__ volatile("inl %1, %0" : "=a"(value) : "Nd"(port));
	return value;
}

static inline uint64_t rdtsc(void)
{
	uint32_t low, high;

	__asm__ volatile("rdtsc" : "=a"(low), "=d"(high) : : "memory");
	return low | (uint64_t)high << 32;
}

static inline uint64_t rdmsr(uint32_t msr)
{
	uint32_t low, high;

	__asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(msr));
	return low | (uint64_t)high << 32;
}

static inline void wrmsr(uint32_t msr, uint64_t value)
{
	__asm__ volatile("wrmsr"
			 :
			 : "c"(msr), "a"((uint32_t)value), "d"((uint32_t)(value >> 32))
			 : "memory");
}

static inline void mmio_write(uint64_t address, uint32_t value)
{
	__asm__ volatile("movl %1, %0" : "=m"(*(volatile uint32_t *)address) : "r"(value));
}

static inline uint32_t mmio_read(uint64_t address)
{
	uint32_t value;

	__asm__ volatile("movl %1, %0" : "=r"(value) : "m"(*(volatile uint32_t *)address));
	return value;
}

#endif
