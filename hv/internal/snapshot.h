/* SPDX-License-Identifier: MIT */
/* Snapshots: a VM's frozen memory and the records of its state. Firmware context only. */
#ifndef HV_SNAPSHOT_H
#define HV_SNAPSHOT_H

#include <devices/intent.h>
#include <internal/store.h>
#include <internal/vm.h>

/* ---- records (codec.c): nothing but buffers ---- */

/* Before the packed fields of each record; little-endian. */
struct record_header {
	char type[16]; /* state_desc.name */
	u32 instance;
	u32 version;
	u32 length; /* bytes of packed fields that follow */
};
static_assert(sizeof(struct record_header) == 28, "layout of the format");
static_assert(sizeof(((struct state_desc *)0)->name) == 16, "layout of the format");

#define RECORDS_WHY_MAX 160

/*
 * The next of the records in @length hostile bytes at @buf: @header is a copy of its header,
 * *@fields points at the header->length bytes behind it, *@offset (at first 0) moves on. To be
 * called until
 * *@offset is @length. HV_ECORRUPT when it is cut off; @why as below.
 */
HV_MUST_CHECK enum hv_error records_next(const u8 *buf, size_t length, size_t *offset,
					 struct record_header *header, const u8 **fields,
					 char *why);

/* Where in the bytes the fields of each record are, in the order of the VM's table. */
struct records_index {
	const u8 *fields[VM_RECORD_MAX];
};

/* Bytes that records_save() writes. */
size_t records_size(const struct vm_record *records, u32 count);

/* Calls each record's before_save and writes all of them. */
void records_save(const struct vm_record *records, u32 count, u8 *buf);

/*
 * First pass of loading: @length hostile bytes at @buf hold each of @records exactly once, and
 * nothing else, in any order. @index points into @buf. On failure (HV_ECORRUPT, HV_EUNSUPPORTED
 * for another version) @why (RECORDS_WHY_MAX bytes) says which record and why.
 */
HV_MUST_CHECK enum hv_error records_parse(const struct vm_record *records, u32 count, const u8 *buf,
					  size_t length, struct records_index *index, char *why);

/*
 * Second pass: asks each record's check about a copy of the live object with the fields loaded
 * over it. The objects themselves stay as they are. Errors as above, HV_ENO_MEMORY.
 */
HV_MUST_CHECK enum hv_error records_check(const struct vm_record *records, u32 count,
					  const struct records_index *index, char *why);

/* Third pass, can't fail: puts the fields into the objects; then calls each after_load, in order.
 */
void records_commit(const struct vm_record *records, u32 count, const struct records_index *index);
void records_after_load(const struct vm_record *records, u32 count);

/* ---- snapshots (snapshot.c) ---- */

#define SNAPSHOT_WHY_MAX 256

struct snapshot {
	struct snapshot *next;
	char name[CONFIG_NAME_MAX];
	u8 id[STORE_ID];         /* random, its own */
	struct lineage parent;   /* the snapshot that its VM came from */
	struct vm_config config; /* of the VM; of one on the volume alone only the name */
	char arch[16];           /* arch_name() of the machine it was taken on */
	u64 wall;                /* seconds since 1970, 0: the machine had no clock */
	u64 pages;               /* 4 KiB pages: of the layer that was frozen, or in its files */
	u64 ns;                  /* that freezing it took */
	u32 clones;              /* the number of the last one, in its name */
	u64 clones_when;         /* vm_ended() then */
	/* In memory, ready to be restored; root is NULL if it is not. */
	struct mem_image image;
	u8 *records;
	size_t records_length; /* bytes */
	/* On the volume. */
	bool stored;
	bool seen;                  /* when the volume was listed last */
	u64 bytes;                  /* of its files */
	char damage[STORE_WHY_MAX]; /* why they can't be used; empty: they can, as far as was looked
				     */
};

enum snapshot_how {
	SNAPSHOT_STORED = 0,       /* in memory and on the volume, a new name */
	SNAPSHOT_MEMORY = 1 << 0,  /* in memory alone: gone with the power */
	SNAPSHOT_REPLACE = 1 << 1, /* in place of the one of that name, if there is one */
};

/* Finds the snapshots on the volume; what can't be read there is said in log lines. */
void snapshot_init(const char *folder);
/* Looks again: the volume may be another by now. */
void snapshot_scan(void);

/*
 * Takes a snapshot of @vm, which goes on as it was, over the frozen memory; @how: SNAPSHOT_*. While
 * it is written to the volume, VMs run on, and @progress is told how much of how much is done; it
 * may be NULL. *@out is owned by the table of snapshots. On failure @why (SNAPSHOT_WHY_MAX bytes)
 * says why and what to do, and nothing has changed. HV_EINVALID: @name is no name; HV_EEXISTS;
 * HV_ENO_MEMORY; HV_ENO_ENTROPY; the errors of volume_create().
 */
typedef void snapshot_progress(const char *what, u64 done, u64 all);
HV_MUST_CHECK enum hv_error snapshot_take(struct vm *vm, const char *name, u32 how,
					  snapshot_progress *progress, struct snapshot **out,
					  char *why);

struct restore_request {
	enum restore_intent intent;
	bool paused;
	bool lazy;      /* run it while its memory is read from the volume */
	const char *vm; /* which VM becomes as in the snapshot; NULL: the one it was taken of */
	u64 started;    /* host counter when the restore was asked for */
	snapshot_progress *progress;
};

struct pager;

/*
 * Puts the VM back to snapshot @s, in place, or makes it if it is not there or is another machine
 * (in memory, processors), whose place it then takes. It stays paused if it
 * was, or if the request says so, and runs on else, also if it was off or failed. What its console
 * had is kept. A snapshot on the volume is read and checked first. *@vm is the VM. On failure @why
 * says why and the VM is as it was; but when the id could not be put into guest memory at the end,
 * the VM has failed: it must not run with an id that another has. HV_ENO_ENTROPY: there was none
 * for a new id.
 */
HV_MUST_CHECK enum hv_error snapshot_restore(struct snapshot *s,
					     const struct restore_request *request, struct vm **vm,
					     char *why);

/*
 * Makes a new VM over snapshot @s, with intent `clone` and a name of its own: that of the VM that
 * was taken, and the lowest number that no VM has. The request's vm is not used. Errors as above;
 * then there is no new VM.
 */
HV_MUST_CHECK enum hv_error snapshot_clone(struct snapshot *s,
					   const struct restore_request *request, struct vm **vm,
					   char *why);

/*
 * For want of memory: forgets the pages of a snapshot that is on the volume as well, from where it
 * is read again when it is restored. False: there is none.
 */
bool snapshot_drop_image(void);

struct snapshot *snapshot_find(const char *name);
/* The first; the others follow by ->next. */
struct snapshot *snapshot_first(void);
/* Ends it, in memory and on the volume. On failure @why says why, and it is there still. */
HV_MUST_CHECK enum hv_error snapshot_delete(struct snapshot *s, char *why);
/* Forgets all of them; what is on the volume stays there. */
void snapshot_fini(void);

/*
 * Once per slice: what a restore left behind is given back, and there are `restored` events for the
 * VMs that were entered since.
 */
void snapshot_poll(void);

/* ---- between memory and the volume (stored.c) ---- */

/*
 * Writes @s, whose image and records are in memory. s->bytes is set. @replace and errors:
 * volume_create().
 */
HV_MUST_CHECK enum hv_error stored_write(struct snapshot *s, bool replace,
					 snapshot_progress *progress, char *why);

/*
 * Reads what the VM of @s is into s->config. The files stay open for stored_load() or
 * stored_open(), until stored_done() at the latest, which the caller owes.
 */
HV_MUST_CHECK enum hv_error stored_read_config(struct snapshot *s, char *why);
void stored_done(void);

/* Reads the records and pages of @s into memory; @vm, of its config, says where memory is. */
HV_MUST_CHECK enum hv_error stored_load(struct snapshot *s, const struct vm *vm,
					snapshot_progress *progress, char *why);

/*
 * Reads the records of @s into memory, and where its pages are: *@image is one without pages, which
 * come by *@pager, that the caller owns as well. Errors as above, nothing is left then.
 */
HV_MUST_CHECK enum hv_error stored_open(struct snapshot *s, const struct vm *vm,
					struct mem_image *image, struct pager **pager, char *why);

/* Reads all of a stored snapshot and checks every byte. HV_OK: it is whole. */
HV_MUST_CHECK enum hv_error stored_check(struct snapshot *s, snapshot_progress *progress,
					 char *why);

#endif
