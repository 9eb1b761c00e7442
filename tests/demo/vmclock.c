/* SPDX-License-Identifier: MIT */
/*
 * The guest's command `vmclock`, of kernels from 7.0 on: maps the page of /dev/vmclock0, as a
 * program does that has to know of restores, and prints what it says, one line each time.
 *
 * vmclock         once
 * vmclock watch   once, and again each time that poll() says so
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define DEVICE "/dev/vmclock0"

/* include/uapi/linux/vmclock-abi.h of Linux, by offset. */
#define MAGIC      0x00
#define SIZE       0x04
#define COUNTER_ID 0x0a
#define SEQ_COUNT  0x0c
#define MARKER     0x10
#define FLAGS      0x18
#define STATUS     0x22
#define GENERATION 0x68

static const volatile uint8_t *page;

static uint32_t word(unsigned offset)
{
	return *(const volatile uint32_t *)(page + offset);
}

static uint64_t dword(unsigned offset)
{
	return *(const volatile uint64_t *)(page + offset);
}

static void show(const char *when)
{
	uint64_t marker, flags, generation;
	uint32_t seq;

	/* A reader of a seqlock: again, if it was odd or moved on meanwhile. */
	do {
		seq = word(SEQ_COUNT);
		__atomic_thread_fence(__ATOMIC_ACQUIRE);
		marker = dword(MARKER);
		flags = dword(FLAGS);
		generation = dword(GENERATION);
		__atomic_thread_fence(__ATOMIC_ACQUIRE);
	} while (seq & 1 || seq != word(SEQ_COUNT));
	printf("vmclock %s: magic %" PRIx32 " size %" PRIu32 " counter %u status %u flags %" PRIx64
	       " seq %" PRIu32 " marker %016" PRIx64 " generation %016" PRIx64 "\n",
	       when, word(MAGIC), word(SIZE), page[COUNTER_ID], page[STATUS], flags, seq, marker,
	       generation);
	fflush(stdout);
}

static int fail(const char *what)
{
	fprintf(stderr, "vmclock: %s of " DEVICE ": %s\n", what, strerror(errno));
	return 1;
}

/* Reading the file is what tells the driver that a change was seen. */
static bool seen(int fd)
{
	uint8_t buf[GENERATION + 8];

	return pread(fd, buf, sizeof(buf), 0) == (ssize_t)sizeof(buf);
}

int main(int argc, char **argv)
{
	bool watch = argc == 2 && !strcmp(argv[1], "watch");
	int fd = open(DEVICE, O_RDONLY | O_CLOEXEC);
	void *map;

	if (fd < 0)
		return fail("open");
	map = mmap(NULL, (size_t)sysconf(_SC_PAGESIZE), PROT_READ, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED)
		return fail("mmap");
	page = map;
	if (!seen(fd))
		return fail("read");
	show("is");
	while (watch) {
		struct pollfd wait = {.fd = fd, .events = POLLIN};

		if (poll(&wait, 1, -1) != 1 || !(wait.revents & POLLIN))
			return fail("poll");
		if (!seen(fd))
			return fail("read");
		show("changed");
	}
	return 0;
}
