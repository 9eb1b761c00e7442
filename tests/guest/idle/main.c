/* SPDX-License-Identifier: MIT */
/* A guest that does nothing any more: what is snapshotted and restored to be measured. */
#include "payload.h"

void payload_main(void)
{
	print("payload: idle\n");
	for (;;)
		__asm__ volatile("sti; hlt");
}
