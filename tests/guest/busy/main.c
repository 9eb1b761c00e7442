/* SPDX-License-Identifier: MIT */
/* A guest that is always ready to run: what is snapshotted and restored to be measured. */
#include "payload.h"

void payload_main(void)
{
	print("payload: busy\n");
	for (;;)
		cpu_relax();
}
