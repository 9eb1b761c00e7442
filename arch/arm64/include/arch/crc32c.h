/* SPDX-License-Identifier: MIT */
/* CRC-32C by the processor: Arm ARM (DDI 0487), C6.2, "CRC32CX". */
#ifndef ARCH_CRC32C_H
#define ARCH_CRC32C_H

#include <arch/sysreg.h>

/* ID_AA64ISAR0_EL1.CRC32: Arm ARM D19.2.61. Optional in Armv8.0. */
#define ISAR0_CRC32_SHIFT 16

static inline bool crc32c_has_word(void)
{
	return sysreg_read("id_aa64isar0_el1") >> ISAR0_CRC32_SHIFT & 0xf;
}

static inline u32 crc32c_word(u32 crc, u64 word)
{
	u32 value;

	__asm__(".arch_extension crc\n\tcrc32cx %w0, %w1, %2" : "=r"(value) : "r"(crc), "r"(word));
	return value;
}

#endif
