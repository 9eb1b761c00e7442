/* SPDX-License-Identifier: MIT */
/* How translation is set up, for C and for assembly. */
#ifndef MMU_ARM64_H
#define MMU_ARM64_H

/* MAIR: 0 Device-nGnRE, 1 write-back. */
#define MAIR 0xff04
/* TCR: TTBR0 alone (EPD1), 36 bits (T0SZ, IPS), 4 KiB, walks write-back and inner shareable. */
#define TCR 0x10080351c
/* SCTLR_EL1: what is RES1 without later extensions; MMU and caches. Arm ARM D19.2.123. */
#define SCTLR_RES1 0x30d00800
#define SCTLR_ON   (SCTLR_RES1 | 0x1005)

#endif
