/* SPDX-License-Identifier: MIT */
/* A guest that reads a device into a vector register. Its VM has to fail in words. */
#include "payload.h"

void payload_main(void)
{
	print("payload: about to read a device into a vector register\n");
	__asm__ volatile("ldr q0, [%0]" : : "r"((uint64_t)UART_BASE) : "memory");
	report(false, "reading a device into a vector register goes on");
}
