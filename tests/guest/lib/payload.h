/* SPDX-License-Identifier: MIT */
/*
 * Runtime of payload kernels: small kernels of our own that check one thing each under anew. They
 * write to the test device and end by it, and report success, skip, error or failure; the worst of
 * them is the result. A payload's main.c is for every architecture, its main_ARCH.c for one.
 *
 * This file is the same for all. What an architecture adds for its payloads is in payload_ARCH.h,
 * the rest of it in payload_ARCH.c, the entry in start_ARCH.S and the layout in payload_ARCH.ld.
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

/* The test. Returning ends it with the worst result so far. */
void payload_main(void);

__attribute__((format(printf, 1, 2))) void print(const char *format, ...);
/* One check: prints PASS or FAIL with the text. */
__attribute__((format(printf, 2, 3))) void report(bool ok, const char *format, ...);
__attribute__((noreturn)) void payload_exit(int result);
void payload_skip(const char *why);

/*
 * Interrupt @number (a vector, an INTID) goes to @handler; on x86_64 exceptions do as well. What
 * was interrupted is in @frame, see payload_ARCH.h.
 */
void on_interrupt(uint32_t number, void (*handler)(uint64_t number, uint64_t *frame));
/*
 * Runs @body, which must be a short leaf function; returns which exception it raised (a vector, a
 * class of exceptions), or -1.
 */
int catch_fault(void (*body)(void *ctx), void *ctx);

static inline void mmio_write(uint64_t address, uint32_t value);
static inline uint32_t mmio_read(uint64_t address);
/* For loops that only wait. */
static inline void cpu_relax(void);
/* How many were executed, from any beginning, where one takes a nanosecond (-icount shift=0). */
static inline uint64_t instructions(void);
/* Waits until something is typed on the machine's serial port, and takes it. */
void wait_for_key(void);

/* ---- between the two parts of this runtime ---- */

/* By start_ARCH.S: sets the machine up and calls payload_run(). */
void payload_run(void);
void payload_putc(char c);
/* Takes what was typed, if anything was. */
bool payload_typed(void);
/* Ends the machine, or waits for ever. */
__attribute__((noreturn)) void payload_off(int result);
/* False: nobody handles interrupt @number. */
bool payload_handle(uint32_t number, uint64_t *frame);
/* False: nobody expects exception @number. Otherwise payload_jump() is to be run instead. */
bool payload_caught(int number);
__attribute__((noreturn)) void payload_jump(void);

#include PAYLOAD_ARCH_HEADER

#endif
