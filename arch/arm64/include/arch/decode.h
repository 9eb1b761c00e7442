/* SPDX-License-Identifier: MIT */
/*
 * What a load or store that touched a device does: from the instruction word to one or two plain
 * accesses. Needed where the syndrome of a data abort doesn't say it (ISV is 0: pairs and
 * writeback; Arm ARM, ESR_EL2, "ISS encoding for an exception from a Data Abort"). Everything here
 * is a pure function; encodings are those of the Arm ARM, C4.1 "Loads and Stores".
 *
 * The address comes from the hardware, the instruction word from the guest's memory, where it may
 * have changed since the abort: a caller compares is_write with the syndrome's WnR. Aborts on
 * translation table walks (S1PTW) have no ISV either, and nothing to do with the instruction.
 */
#ifndef ARCH_DECODE_H
#define ARCH_DECODE_H

#include <hv/error.h>
#include <hv/types.h>

/* Register numbers: 31 is the zero register as rt and rt2, and the stack pointer as rn. */
#define A64_ZR 31
#define A64_SP 31

struct a64_insn {
	s64 offset;       /* added to rn: for the address unless post_index, and by writeback */
	u8 size;          /* of an access: 1, 2, 4 or 8 bytes */
	u8 rt;            /* written, or read into */
	u8 rt2;           /* of the second access of a pair, at + size; valid if pair */
	u8 rn;            /* base; valid if pair or writeback, as is offset */
	bool is_write;    /* store */
	bool sign_extend; /* a value read is sign-extended */
	bool to_64;       /* the registers take part with 64 bits, otherwise with 32 */
	bool pair;
	bool writeback; /* rn := rn + offset, once all accesses are done */
	bool post_index;
};

/*
 * Decodes the word @insn. HV_EINVALID: a form whose behaviour is CONSTRAINED UNPREDICTABLE, for
 * which the architecture allows an Undefined Instruction exception. HV_EUNSUPPORTED: it isn't a
 * plain load or store of general-purpose registers: exclusives, atomics, vectors, tags, prefetches
 * and everything that doesn't access memory. *@out is only valid after HV_OK.
 */
HV_MUST_CHECK enum hv_error a64_decode(u32 insn, struct a64_insn *out);

/*
 * Where the first access of @insn, a pair or one with writeback, starts if rn has the value @base.
 * The address that the hardware reports is another when only a later part of it faulted.
 */
static inline u64 a64_address(const struct a64_insn *insn, u64 base)
{
	return insn->post_index ? base : base + (u64)insn->offset;
}

/*
 * What the register of @insn, a load, holds after @value was read into it; bits of @value beyond
 * insn->size are ignored. Only size, sign_extend and to_64 are looked at, which the syndrome gives
 * as SAS, SSE and SF where ISV is 1.
 */
u64 a64_read_result(const struct a64_insn *insn, u64 value);

#endif
