/* SPDX-License-Identifier: MIT */
/*
 * String instructions of which one operand is a device, or a port: MOVS, INS and OUTS, one step per
 * call. The other operand is anything that the guest's tables make of it. It is looked at before
 * anything is done, so that an instruction that faults has done nothing.
 */
#ifndef ARCH_STRINGS_H
#define ARCH_STRINGS_H

#include <arch/decode.h>
#include <arch/mmu.h>
#include <arch/x86.h>
#include <hv/io.h>

struct strings_cpu {
	struct mem *mem;
	const struct x86_mode *mode;
	const struct x86_segment *segments; /* ES to GS, in the order of their encoding */
	u64 *gpr;                           /* changed by a step that is done */
	enum io_result (*access)(void *ctx, enum io_space space, u64 address,
				 struct io_access *access);
	void *ctx;
};

enum strings_result {
	STRINGS_DONE,      /* the instruction is complete */
	STRINGS_MORE,      /* a step was done, it goes on at the same address */
	STRINGS_FAULT,     /* nothing was done: the guest gets cpu's fault */
	STRINGS_NO_MEMORY, /* nothing was done: the pool is empty */
	STRINGS_REFUSED,   /* a device refused the access */
};

struct strings_fault {
	u8 vector;
	u32 error;   /* error code, all of these have one */
	u64 address; /* CR2, of a page fault */
};

/* @insn is DECODE_MOVS. *@fault is set with STRINGS_FAULT only. */
enum strings_result strings_move(const struct strings_cpu *cpu, const struct decode_insn *insn,
				 struct strings_fault *fault);

/* @insn is DECODE_INS or DECODE_OUTS, from or to @port. */
enum strings_result strings_port(const struct strings_cpu *cpu, const struct decode_insn *insn,
				 u16 port, struct strings_fault *fault);

#endif
