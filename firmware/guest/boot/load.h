/* SPDX-License-Identifier: MIT */
/* What the loaders of the different kinds of kernels share. */
#ifndef BOOT_LOAD_H
#define BOOT_LOAD_H

#include <guest/boot.h>
#include <hv/log.h>

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

#define BOOT_HEAD  KIB(8)
#define BOOT_PIECE KIB(64)

/* One call of boot_load(). */
struct loader {
	const struct boot_request *request;
	struct boot_entry *entry;
	u64 kernel_start; /* guest-physical, known once the kernel is placed */
	u64 kernel_end;
	u32 head_length; /* bytes of head that the file has; the rest is 0 */
	u8 head[BOOT_HEAD];
	u8 piece[BOOT_PIECE];
};

/* Says why the kernel is refused; one line per call of boot_load(). */
#define boot_refuse(loader, format, ...)                                                           \
	log_error("kernel '%s': " format, (loader)->request->kernel->name, ##__VA_ARGS__)

static inline u16 get16(const u8 *at)
{
	return (u16)(at[0] | at[1] << 8);
}

static inline u32 get32(const u8 *at)
{
	return get16(at) | (u32)get16(at + 2) << 16;
}

static inline u64 get64(const u8 *at)
{
	return get32(at) | (u64)get32(at + 4) << 32;
}

static inline void put32(u8 *at, u32 value)
{
	for (u32 i = 0; i < 4; i++)
		at[i] = (u8)(value >> (8 * i));
}

static inline void put64(u8 *at, u64 value)
{
	put32(at, (u32)value);
	put32(at + 4, (u32)(value >> 32));
}

/* All of these say in a log line what was wrong. */
HV_MUST_CHECK enum hv_error boot_read(struct loader *l, const struct boot_file *file, u64 offset,
				      void *buf, size_t length);
HV_MUST_CHECK enum hv_error boot_write(struct loader *l, u64 to, const void *buf, size_t length);
/* From the file to guest memory, in pieces. */
HV_MUST_CHECK enum hv_error boot_copy(struct loader *l, const struct boot_file *file, u64 offset,
				      u64 to, u64 length);
HV_MUST_CHECK enum hv_error boot_zero(struct loader *l, u64 to, u64 length);
/* Whether a part of the kernel may be at @base: RAM, and not the boot area. */
HV_MUST_CHECK enum hv_error boot_check_place(struct loader *l, u64 base, u64 length);
/* Loads the initrd as high as possible below @limit, clear of the kernel; 0 and 0 without one. */
HV_MUST_CHECK enum hv_error boot_load_initrd(struct loader *l, u64 limit, u64 *base, u64 *size);
/* Writes the command line to BOOT_CMDLINE, which may have @max bytes without its end. */
HV_MUST_CHECK enum hv_error boot_write_cmdline(struct loader *l, u64 max);
/* Writes the GDT and fills in the members of the entry that all protocols share. */
HV_MUST_CHECK enum hv_error boot_set_mode(struct loader *l, enum boot_mode mode);

/* Name of the initrd without its directory. */
const char *boot_initrd_name(const struct loader *l);

bool linux_match(const struct loader *l);
HV_MUST_CHECK enum hv_error linux_load(struct loader *l);

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
HV_MUST_CHECK enum hv_error elf_load(struct loader *l, const struct elf *elf);
/* The physical address of the ELF entry, which may be given as a virtual one. */
u64 elf_entry(const struct elf *elf);

/* Looks for the PVH note; *@found says whether there is one, with its value in *@entry. */
HV_MUST_CHECK enum hv_error pvh_find(struct loader *l, const struct elf *elf, bool *found,
				     u64 *entry);
HV_MUST_CHECK enum hv_error pvh_load(struct loader *l, const struct elf *elf, u64 entry);

/* Where in the head a multiboot header is. */
bool multiboot_find(const struct loader *l, u32 *offset);
/* @elf: NULL if the file is none. */
HV_MUST_CHECK enum hv_error multiboot_load(struct loader *l, u32 offset, const struct elf *elf);

#endif
