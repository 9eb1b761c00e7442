/* SPDX-License-Identifier: MIT */
/*
 * What newlib asks of the system below it. malloc() lives in one arena of fixed size; nothing here
 * opens, reads or writes files.
 */
#include "uefi.h"

#include <hv/log.h>
#include <internal/host.h>

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

/* For the configuration while it is read, and a record while it is checked. */
#define ARENA_SIZE KIB(256)

static u8 *arena;
static size_t arena_used;

enum hv_error libc_init(void)
{
	arena = memory_take(ARENA_SIZE / PAGE_SIZE);
	return arena ? HV_OK : HV_ENO_MEMORY;
}

void *sbrk(ptrdiff_t increment)
{
	u8 *old;

	if ((increment > 0 && (size_t)increment > ARENA_SIZE - arena_used) ||
	    (increment < 0 && (size_t)-increment > arena_used)) {
		errno = ENOMEM;
		return (void *)-1;
	}
	old = arena + arena_used;
	arena_used += (size_t)increment;
	return old;
}

int getentropy(void *buf, size_t length)
{
	if (length > 256 || host_entropy(buf, length) != HV_OK) {
		errno = EIO;
		return -1;
	}
	return 0;
}

void abort(void)
{
	panic("abort() called");
}

/* The C library's generator raises a signal when getentropy() fails. */
int raise(int sig)
{
	panic("signal %d raised", sig);
}

void __assert_func(const char *file, int line, const char *function, const char *expression)
{
	panic("%s:%d: %s: %s does not hold", file, line, function ? function : "?", expression);
}
