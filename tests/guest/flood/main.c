/* SPDX-License-Identifier: MIT */
/* A guest that writes to its console without end, as fast as it can. */
#include "payload.h"

void payload_main(void)
{
	for (unsigned line = 0;; line++)
		print("flood: %08u, and nothing that anybody would want to read\n", line);
}
