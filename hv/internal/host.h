/* SPDX-License-Identifier: MIT */
/*
 * What the firmware that anew stands on supplies. All calls are made on the boot CPU and in
 * firmware context only (see arch.h: never between arch_vcpu_load() and arch_vcpu_put());
 * firmware/host implements them with UEFI, tests/unit with a pretend host.
 */
#ifndef HV_HOST_H
#define HV_HOST_H

#include <hv/error.h>
#include <hv/types.h>

/* The hypervisor; returns when the monitor's exit was used or hardware is missing. 0: all well. */
int anew_main(void);

/*
 * Whether @word is among the words that anew was started with: its load options, as of a command
 * line of the UEFI shell, or of a boot entry.
 */
HV_MUST_CHECK bool host_option(const char *word);

/*
 * Whether firmware may be called now. The architecture clears it on the way to hypervisor context
 * and sets it on the way back; every host_*() function panics while it is false.
 */
extern bool host_context_firmware;

/* ---- console: the serial lines and the screen together ---- */

/* Writes all bytes, to every serial line as they are, to the screen as text. */
void host_console_write(const u8 *buf, size_t length);
/* Bytes typed since, from any keyboard or serial line; 0 when there are none. Doesn't wait. */
size_t host_console_read(u8 *buf, size_t length);

/*
 * ---- files ----
 *
 * Paths use '/'. They are of the volume that anew was started from; "LABEL:PATH" is of the first
 * one with that label. Names are as the file system has it: FAT's don't tell a from A.
 */

/* Size of the file in bytes, or HV_ENOT_FOUND, HV_EIO. */
HV_MUST_CHECK enum hv_error host_file_size(const char *path, u64 *size);
/* Reads exactly @length bytes from @offset. */
HV_MUST_CHECK enum hv_error host_file_read(const char *path, u64 offset, void *buf, size_t length);

/* A file that stays open, for more than a few reads, and for writing. */
struct host_file;

enum host_file_mode {
	HOST_FILE_READ,
	HOST_FILE_CREATE, /* to read and write; empty, what was there of that name is gone */
};

/*
 * *@file is to be given back by host_file_close(). HV_ENOT_FOUND, HV_EDENIED for what can't be
 * written, HV_ENO_SPACE, HV_ENO_MEMORY, HV_EIO.
 */
HV_MUST_CHECK enum hv_error host_file_open(const char *path, enum host_file_mode mode,
					   struct host_file **file);
/*
 * Exactly @length bytes from or to @offset. A write over the end makes the file longer; one that
 * begins behind it is HV_EINVALID: what the medium had before would be in between.
 */
HV_MUST_CHECK enum hv_error host_file_read_at(struct host_file *file, u64 offset, void *buf,
					      size_t length);
HV_MUST_CHECK enum hv_error host_file_write_at(struct host_file *file, u64 offset, const void *buf,
					       size_t length);
/* All that was written is on the medium, so far as the firmware can see to it. */
HV_MUST_CHECK enum hv_error host_file_flush(struct host_file *file);
void host_file_close(struct host_file *file);
/* HV_OK also when there is no such file. */
HV_MUST_CHECK enum hv_error host_file_delete(const char *path);

/* Makes the folder, whose parent is there. HV_OK also when it is there. */
HV_MUST_CHECK enum hv_error host_folder_create(const char *path);
/* Calls @each for every file in the folder, in no order. HV_ENOT_FOUND, HV_EIO. */
HV_MUST_CHECK enum hv_error
host_folder_read(const char *path, void (*each)(void *ctx, const char *name, u64 size), void *ctx);
/* Bytes that can be written to the volume of @path. HV_EDENIED for none at all. */
HV_MUST_CHECK enum hv_error host_volume_free(const char *path, u64 *bytes);

/* ---- memory ---- */

/*
 * @blocks contiguous blocks of 2 MiB, 2 MiB aligned, not zeroed; physical = virtual. What was
 * allocated is given back when anew ends.
 */
HV_MUST_CHECK enum hv_error host_alloc_blocks(u32 blocks, hpa_t *base);
/* Contiguous zeroed 4 KiB pages; NULL when there are none. Given back by host_free_pages(). */
void *host_alloc_pages(u32 pages);
void host_free_pages(void *ptr, u32 pages);
/*
 * Prepares for host_alloc_pages() of up to 64 KiB in all, which takes next to no time then: the
 * firmware takes long. To be called when nobody waits.
 */
void host_refill_pages(void);
/* Free memory that the firmware reports, in bytes. */
u64 host_memory_free(void);
/* What anew has of the firmware's memory, bytes: its image, and all that it holds by the above. */
u64 host_memory_taken(void);

/* ---- the firmware's other processors ---- */

/*
 * What the hardware calls those that the firmware has in use beside the boot CPU: at most @room,
 * into @ids. Returns how many.
 */
u32 host_cpus(u64 *ids, u32 room);
/*
 * Has the firmware send processor @id to @entry, and doesn't wait. It runs there as the firmware
 * has it, on a small stack, until it returns. HV_EUNSUPPORTED, HV_EIO, HV_ENO_MEMORY.
 */
HV_MUST_CHECK enum hv_error host_cpu_start(u64 id, void (*entry)(void *ctx), void *ctx);
/* Waits until the firmware has it back, after @entry's end; false: not within some seconds. */
HV_MUST_CHECK bool host_cpu_wait(u64 id);
/*
 * Has the firmware call @handler for interrupt @vector of the boot CPU, in interrupt context; NULL:
 * no longer. One vector at a time. HV_EUNSUPPORTED: it doesn't, or has another one for that.
 */
HV_MUST_CHECK enum hv_error host_interrupt_set(u8 vector, void (*handler)(void));

/* ---- entropy, time, waiting ---- */

/* @length bytes of entropy, from the processor and the firmware; HV_ENO_ENTROPY without any. */
HV_MUST_CHECK enum hv_error host_entropy(void *buf, size_t length);
/* Seconds since 1970 (UTC) as the firmware's clock has it; 0 when it has none. */
u64 host_wall_clock(void);
/* Busy-waits. Only for calibration. */
void host_stall_us(u32 us);
/*
 * Sleeps until the next interrupt that the firmware handles, at least its tick; not at all if
 * *@kicked isn't 0, which another processor may make it at any moment.
 */
void host_idle(const u32 *kicked);

/*
 * Interrupt @number of the machine's interrupt controller is anew's and only ends host_idle(): the
 * firmware takes it, where it comes in firmware context. False: it can't. And gives it back.
 */
HV_MUST_CHECK bool host_interrupt_take(u32 number);
void host_interrupt_return(u32 number);

/*
 * The firmware's description of the machine: ACPI's root pointer (RSDP) and the devicetree, in the
 * firmware's memory; NULL where there is none.
 */
const void *host_acpi_rsdp(void);
const void *host_fdt(void);

/* What the machine and its firmware are called, for banner and log. */
const char *host_name(void);

/* Where anew itself was loaded: what is added to the addresses in its ELF file. For debuggers. */
u64 host_image_base(void);

#endif
