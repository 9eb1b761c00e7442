/* SPDX-License-Identifier: MIT */
/*
 * Snapshots as files: which files a snapshot is, which of them count, and in which order they are
 * written and deleted, so that a power cut at any moment leaves the earlier snapshot of a name or
 * the new one. Firmware context only.
 */
#ifndef HV_VOLUME_H
#define HV_VOLUME_H

#include <internal/config.h>
#include <internal/host.h>
#include <internal/store.h>

/* Where snapshots are if anew.conf says nothing else. */
#define VOLUME_FOLDER "snapshots"

/* FAT32's files are shorter than 4 GiB; a snapshot goes on in a file of its own after this. */
#define VOLUME_PART_BYTES GIB(2) /* unless volume_set_part() is told another size */

#define VOLUME_WHY_MAX 256

/* What to do when a volume can't be used. */
#define VOLUME_ELSEWHERE "name a folder of another volume as `snapshots` in [anew] of anew.conf"

/* A snapshot that is read or written. It stays where it is: the context of @io is itself. */
struct volume_file {
	struct store_io io;
	u32 slot; /* which of the two that a name has */
	char name[CONFIG_NAME_MAX];
	struct host_file *first; /* the header's file, open all the while */
	struct host_file *part;  /* the further one in hand, or NULL */
	u32 part_number;         /* of that, from 1 */
	bool writing;
	bool lost;      /* a write failed as on a medium that is gone */
	u32 parts_made; /* while it is written, the first included */
	u64 written;    /* bytes, so far */
	/* Of each file but the last, for the header; as was set after volume_create(). */
	u64 part_bytes;
};

/*
 * @folder is where snapshots are from now on, in less than CONFIG_PATH_MAX bytes. A colon in it
 * ends the label of a volume (host.h).
 */
void volume_init(const char *folder);
/* Snapshots that are written from now on have files of @bytes, whole pages, not 0. */
void volume_set_part(u64 bytes);

/*
 * Calls @each for every snapshot in the folder, the one that counts where there are several of a
 * name: @err is HV_OK when its header is good and all of its files are there in their lengths;
 * otherwise @why says what is wrong with it, and @header has what could be read. Beside a whole one
 * it deletes what a power cut left of an earlier or an unfinished one of its name, but not while
 * one is written. No folder is no snapshots. HV_EIO, HV_ENOT_FOUND for a volume that is not there.
 */
typedef void volume_each(void *ctx, const char *name, const struct store_header *header,
			 enum hv_error err, const char *why);
HV_MUST_CHECK enum hv_error volume_list(volume_each *each, void *ctx);

/*
 * Opens the snapshot @name that counts for reading, and reads its header. HV_ENOT_FOUND, or as
 * volume_list() has it; there is nothing to close then. @why: VOLUME_WHY_MAX bytes.
 */
HV_MUST_CHECK enum hv_error volume_open(struct volume_file *file, const char *name,
					struct store_header *header, char *why);

/* What is open as @from, for reading, is open as @to from now on. */
void volume_move(struct volume_file *to, const struct volume_file *from);

/*
 * Makes the files of a new snapshot @name of about @bytes, beside the one of that name that counts,
 * if there is one; *@generation is the one that it must have. Written from its beginning to its
 * end; only the header is written again. HV_EINVALID for what is no name, HV_EEXISTS for one that
 * differs from another's in capital letters alone, or, without @replace, when there is a snapshot
 * of that name, be it whole or not, but for one that has no header yet; HV_ETOO_BIG, HV_ENO_SPACE,
 * HV_EDENIED for a volume that can't be written, HV_ENOT_FOUND for one that is not there, HV_EIO;
 * there is nothing to close then.
 */
HV_MUST_CHECK enum hv_error volume_create(struct volume_file *file, const char *name, u64 bytes,
					  bool replace, u64 *generation, char *why);

/*
 * Ends the reading or writing. A snapshot that was written whole (store_write_end() was HV_OK;
 * @whole) is the one that counts from now on, and the earlier one of the name is deleted; what was
 * not is deleted itself.
 */
void volume_close(struct volume_file *file, bool whole);

/*
 * Deletes every file of the snapshot @name, the header first. HV_OK when there is none; HV_EDENIED,
 * HV_EIO.
 */
HV_MUST_CHECK enum hv_error volume_delete(const char *name, char *why);

#endif
