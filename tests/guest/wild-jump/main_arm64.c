/* SPDX-License-Identifier: MIT */
/*
 * A guest that jumps to where there is nothing, and whose vectors are there too: each abort that it
 * gets is followed by the next one, for ever. Everybody else goes on.
 */
#include "payload.h"

bool payload_mmu_off = true;

void payload_main(void)
{
	print("payload: about to jump into nowhere\n");
	sysreg_write("vbar_el1", UNMAPPED);
	__asm__ volatile("br %0" : : "r"((uint64_t)UNMAPPED));
}
