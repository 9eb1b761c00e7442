/* SPDX-License-Identifier: MIT */
/* The log in tests of what refuses in words: counts the lines that are errors, keeps the last. */
#ifndef TESTS_LOG_FAKE_H
#define TESTS_LOG_FAKE_H

#include <stdarg.h>
#include <stdio.h>

#include <hv/log.h>

static char last_error[512] HV_UNUSED;
static u32 error_lines;

void log_print(enum log_level level, const char *format, ...)
{
	va_list args;

	if (level != LOG_ERROR)
		return;
	error_lines++;
	va_start(args, format);
	vsnprintf(last_error, sizeof(last_error), format, args);
	va_end(args);
}

#endif
