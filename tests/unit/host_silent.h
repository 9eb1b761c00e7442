/* SPDX-License-Identifier: MIT */
/* A host whose console shows nothing, and where nothing is typed. */
#ifndef TESTS_HOST_SILENT_H
#define TESTS_HOST_SILENT_H

#include <internal/host.h>

void host_console_write(const u8 *buf, size_t length)
{
	(void)buf;
	(void)length;
}

size_t host_console_read(u8 *buf, size_t length)
{
	(void)buf;
	(void)length;
	return 0;
}

#endif
