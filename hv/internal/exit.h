/* SPDX-License-Identifier: MIT */
/* Why a virtual CPU stopped running, in words that every architecture shares. */
#ifndef HV_EXIT_H
#define HV_EXIT_H

#include <hv/io.h>
#include <hv/types.h>

/* X(name, text) */
#define HV_EXITS(X)                                                                                \
	X(HOST_IRQ, "host interrupt")                                                              \
	X(MEMORY, "memory")                                                                        \
	X(PIO, "port I/O")                                                                         \
	X(REG, "register")                                                                         \
	X(HALT, "halt")                                                                            \
	X(HYPERCALL, "hypercall")                                                                  \
	X(WINDOW, "interrupt window")                                                              \
	X(ARCH, "CPU")                                                                             \
	X(SHUTDOWN, "shutdown")                                                                    \
	X(FAILED_ENTRY, "failed entry")                                                            \
	X(UNKNOWN, "unknown")

enum hv_exit_reason {
#define HV_EXIT_ENUM(name, text) EXIT_##name,
	HV_EXITS(HV_EXIT_ENUM)
#undef HV_EXIT_ENUM
	EXIT_REASON_COUNT
};

struct hv_exit {
	enum hv_exit_reason reason;
	/* MEMORY: where, and how. A second-stage fault: RAM to be filled in, or a device. */
	gpa_t gpa;
	bool is_write;
	/*
	 * PIO, REG: the address (port or register number) and the access; MEMORY after decoding.
	 * access.vcpu is in place beforehand, and stays.
	 */
	u64 address;
	struct io_access access;
	/* FAILED_ENTRY, SHUTDOWN, UNKNOWN: the cause in words. ARCH, UNKNOWN: the raw code. */
	const char *cause;
	u64 code;
};

/* An enum hv_exit_reason in a word or two; "none" for EXIT_REASON_COUNT and what is above it. */
const char *exit_reason_text(u32 reason);

/* @exit in words: a text of at most @length bytes with its end. */
void exit_describe(const struct hv_exit *exit, char *buf, size_t length);

/* What is to be done after an exit was handled. There is no fifth. */
enum hv_verdict {
	VERDICT_RESUME, /* enter the guest again at the same instruction */
	VERDICT_SKIP,   /* advance past the instruction that exited, then enter */
	VERDICT_FAULT,  /* inject the architecture's fault for a refused access, then enter */
	VERDICT_STOP,   /* the VM was stopped, its cause noted by vm_fail() or the like */
};

#endif
