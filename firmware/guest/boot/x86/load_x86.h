/* SPDX-License-Identifier: MIT */
/* What the loaders of the different kinds of kernels for x86 share. */
#ifndef BOOT_LOAD_X86_H
#define BOOT_LOAD_X86_H

#include <guest/boot_x86.h>
#include "../load.h"

/* The boot area (BOOT_AREA_BASE to BOOT_AREA_END), guest-physical. */
#define BOOT_GDT         0x1000
#define BOOT_INFO        0x2000 /* zero page, PVH start info or multiboot info */
#define BOOT_STACK_TOP   0x4000
#define BOOT_PAGE_TABLES 0x4000 /* PML4, PDPT, four PDs */
#define BOOT_LISTS       0xa000 /* memory map, then at MODULES the module */
#define BOOT_MODULES     0xac00
#define BOOT_SEED        0xb000
#define BOOT_CMDLINE     0x10000
#define BOOT_NAMES       0x20000 /* what the initrd is called, then at LOADER the loader */
#define BOOT_LOADER      0x21000
#define BOOT_NAME_ROOM   0x1000

#define BOOT_KERNEL_MIN MIB(1) /* initrds, and Linux, go above it */

/* One call of boot_x86_load(). */
struct x86_loader {
	struct loader loader;
	const struct boot_x86_request *request;
	struct boot_x86_entry *entry;
	struct guest_range ram[E820_MAX]; /* of the map */
};

/* As the functions of load.h, these say in a log line what was wrong. */

/* Whether a part of the kernel may be at @base: RAM, and not the boot area. */
HV_MUST_CHECK enum hv_error boot_x86_check_place(struct x86_loader *x, u64 base, u64 length);
/* Loads the initrd, if there is one, as high as possible below @limit. */
HV_MUST_CHECK enum hv_error boot_x86_load_initrd(struct x86_loader *x, u64 limit);
/* Writes the command line to BOOT_CMDLINE, which may have @max bytes without its end. */
HV_MUST_CHECK enum hv_error boot_x86_write_cmdline(struct x86_loader *x, u64 max);
/* Writes the GDT and fills in the members of the entry that all protocols share. */
HV_MUST_CHECK enum hv_error boot_x86_set_mode(struct x86_loader *x, enum boot_x86_mode mode);

bool linux_match(const struct loader *l);
HV_MUST_CHECK enum hv_error linux_load(struct x86_loader *x);

#define ELF_SEGMENT_MAX 64

struct elf_segment {
	u32 type;
	u64 offset;
	u64 vaddr;
	u64 paddr;
	u64 filesz;
	u64 memsz;
	u64 align;
};

struct elf {
	u64 entry;
	u32 count;
	struct elf_segment segments[ELF_SEGMENT_MAX];
};

bool elf_match(const struct loader *l);
HV_MUST_CHECK enum hv_error elf_read(struct loader *l, struct elf *elf);
/* Loads all segments, and sets where the kernel is. */
HV_MUST_CHECK enum hv_error elf_load(struct x86_loader *x, const struct elf *elf);
/* The physical address of the ELF entry, which may be given as a virtual one. */
u64 elf_entry(const struct elf *elf);

/* Looks for the PVH note; *@found says whether there is one, with its value in *@entry. */
HV_MUST_CHECK enum hv_error pvh_find(struct loader *l, const struct elf *elf, bool *found,
				     u64 *entry);
HV_MUST_CHECK enum hv_error pvh_load(struct x86_loader *x, const struct elf *elf, u64 entry);

/* Where in the head a multiboot header is. */
bool multiboot_find(const struct loader *l, u32 *offset);
/* @elf: NULL if the file is none. */
HV_MUST_CHECK enum hv_error multiboot_load(struct x86_loader *x, u32 offset, const struct elf *elf);

#endif
