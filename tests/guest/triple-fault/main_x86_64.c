/* SPDX-License-Identifier: MIT */
/* A guest that ends itself: no interrupt table, then an exception. Its VM has to fail in words. */
#include "payload.h"

void payload_main(void)
{
	struct {
		uint16_t limit;
		uint64_t base;
	} __attribute__((packed)) none = {0, 0};

	print("payload: about to triple-fault\n");
	__asm__ volatile("lidt %0; ud2" : : "m"(none));
}
