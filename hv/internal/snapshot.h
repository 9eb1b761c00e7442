/* SPDX-License-Identifier: MIT */
/* Snapshots in memory: a VM's frozen memory and the records of its state. Firmware context only. */
#ifndef HV_SNAPSHOT_H
#define HV_SNAPSHOT_H

#include <devices/intent.h>
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
	struct vm_config config; /* of the VM; config.name is the VM's name */
	struct mem_image image;
	u8 *records;           /* in the same pages, behind this */
	size_t records_length; /* bytes */
	u64 wall;              /* seconds since 1970, 0: the machine has no clock */
	u64 pages;             /* 4 KiB pages of the layer that was frozen */
	u64 ns;                /* that taking it took */
};

/*
 * Takes a snapshot of @vm, which goes on as it was, over the frozen memory. *@out is owned by the
 * table of snapshots. On failure @why (SNAPSHOT_WHY_MAX bytes) says why and what to do.
 * HV_EINVALID: @name is no name; HV_EEXISTS; HV_ENO_MEMORY.
 */
HV_MUST_CHECK enum hv_error snapshot_take(struct vm *vm, const char *name, struct snapshot **out,
					  char *why);

/*
 * Puts the VM of snapshot @s back to it, in place. It stays paused if it was, or if @paused, and
 * runs on else, also if it was off or failed. What its console had is kept. @started is the host
 * counter when the restore was asked for. On failure @why says why and the VM is as it was; but
 * when the id could not be put into guest memory at the end, the VM has failed: it must not run
 * with an id that another has. HV_ENO_ENTROPY: there was none for a new id.
 */
HV_MUST_CHECK enum hv_error snapshot_restore(struct snapshot *s, enum restore_intent intent,
					     bool paused, u64 started, char *why);

struct snapshot *snapshot_find(const char *name);
/* The oldest; the others follow by ->next. */
struct snapshot *snapshot_first(void);
void snapshot_delete(struct snapshot *s);

/*
 * Once per slice: what a restore left behind is given back, and there are `restored` events for the
 * VMs that were entered since.
 */
void snapshot_poll(void);

#endif
