/* SPDX-License-Identifier: MIT */
/*
 * The host's files, in memory, on a medium that fails as it is told to. Each call but
 * host_file_close() is a step. Names are as in FAT: a capital letter and a small one are the same,
 * and a long name has a short one (8.3) beside it, by which the file is found as well. There is the
 * volume that anew was started from and another, DATA.
 */
#ifndef TESTS_HOST_FILES_H
#define TESTS_HOST_FILES_H

#include <internal/host.h>

enum host_files_loss {
	HOST_FILES_KEEP, /* the power goes after what was written is on the medium */
	/*
	 * What was not flushed is on the medium or not, sector by sector, and so is the file's new
	 * length. A sector that is not there is what was in its place before, of a deleted file
	 * even. Files and folders appear and go at once, as EDK2's FAT has it.
	 */
	HOST_FILES_LOSE,
};

struct host_files {
	u32 steps;  /* so far */
	u32 cut_at; /* the step in which the power goes, from 1; 0: it stays */
	bool off;   /* it is gone: all calls are HV_EIO until host_files_reboot() */
	enum host_files_loss loss;
	u32 seed;       /* of what is lost */
	u64 room;       /* bytes that host_volume_free() says */
	u64 full_after; /* bytes until writes are HV_ENO_SPACE */
	bool write_protected;
	u32 bad_read_at; /* the step, a read, that is HV_EIO; 0: none */
};

extern struct host_files host_files;

/* A medium without files that never fails. Files that are open must have been closed. */
void host_files_reset(void);
/* Loses what is lost when the power goes, and turns it on again: nothing fails any more. */
void host_files_reboot(void);

/* The bytes of a file as they are now, to look at and to change; NULL when there is none. */
u8 *host_files_bytes(const char *path, u64 *size);
/* Makes a file, with its folder. */
void host_files_put(const char *path, const void *bytes, u64 size);
/* Files that there are, without folders. */
u32 host_files_count(void);
/* How many are open. */
u32 host_files_open(void);

#endif
