/* SPDX-License-Identifier: MIT */
/*
 * What the parts of this directory share: the firmware's tables, who starts and ends what, and the
 * few instructions that differ between processors (arch_NAME.c). No other part of anew sees efi.h.
 */
#ifndef FIRMWARE_HOST_UEFI_H
#define FIRMWARE_HOST_UEFI_H

#include <efi.h>

#include <hv/error.h>
#include <hv/types.h>

extern EFI_HANDLE uefi_image;
extern EFI_SYSTEM_TABLE *uefi_st;
extern EFI_BOOT_SERVICES *uefi_bs;

/* The interface of @guid on @handle, NULL when it has none. */
void *uefi_protocol(EFI_HANDLE handle, const EFI_GUID *guid);
/* The first interface of @guid on any handle, NULL when there is none. */
void *uefi_locate(const EFI_GUID *guid);
/* All handles with @guid; returns their number. *@handles goes back with FreePool() if not NULL. */
size_t uefi_handles(const EFI_GUID *guid, EFI_HANDLE **handles);

/* Panics when host function @function is called while a guest's state is in the processor. */
void uefi_check_context(const char *function);
#define UEFI_CHECK_CONTEXT() uefi_check_context(__func__)

/* ---- each part's beginning and end; the end gives the firmware back what the part took ---- */

void memory_fini(void);
/* Takes the arena of malloc(); HV_ENO_MEMORY when there is no room for it. */
HV_MUST_CHECK enum hv_error libc_init(void);
void console_init(void);
void console_fini(void);
/* After the firmware's drivers were asked to look for devices: the lines are not theirs. */
void console_retake(void);
void files_fini(void);
void time_init(void);
void time_fini(void);

/* @pages zeroed pages for this directory's own use, given back with the others; may be NULL. */
void *memory_take(size_t pages);

/* ---- the processor ---- */

/* A counter that runs at the processor's pace. */
u64 cpu_counter(void);
/* 64 random bits from the processor's own generator; false when it has none or it fails. */
HV_MUST_CHECK bool cpu_random(u64 *value);
/*
 * Sleeps with interrupts on until the next one was handled; not at all if @kicked, which may be
 * NULL, says otherwise at the last moment.
 */
void cpu_wait(const u32 *kicked);

/* Called by the start-up code of gnu-efi, with the calling convention of this program. */
EFI_STATUS efi_main(EFI_HANDLE image, EFI_SYSTEM_TABLE *system_table);

#endif
