/* SPDX-License-Identifier: MIT */
/* A guest that jumps to where there is nothing: fetches of all ones, which no device answers. */
#include "payload.h"

void payload_main(void)
{
	print("payload: about to jump into nowhere\n");
	__asm__ volatile("jmp *%0" : : "r"(0xd0000000ull));
}
