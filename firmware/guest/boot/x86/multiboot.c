/* SPDX-License-Identifier: MIT */
/* Kernels with a multiboot header: Multiboot Specification 0.6.96, sections 3.1 to 3.3. */
#include "load_x86.h"
#include <string.h>

#define HEADER_MAGIC  0x1badb002
#define HEADER_SEARCH 8192
#define ENTRY_MAGIC   0x2badb002

/* 3.1.1: offsets in the header. */
#define HEADER_FLAGS  4
#define HEADER_SUM    8
#define HEADER_BASIC  12
#define HEADER_ADDR   12
#define LOAD_ADDR     16
#define LOAD_END_ADDR 20
#define BSS_END_ADDR  24
#define ENTRY_ADDR    28
#define HEADER_KLUDGE 32

/* 3.1.2: flags in the header. 0 to 15 must be understood. */
#define FLAG_ALIGN  BIT(0)
#define FLAG_MEMORY BIT(1)
#define FLAG_VIDEO  BIT(2) /* asked for, but a kernel has to look at what it was given */
#define FLAGS_KNOWN ((u32)(FLAG_ALIGN | FLAG_MEMORY | FLAG_VIDEO))
#define FLAGS_MUST  0xffff
#define FLAG_KLUDGE BIT(16)

/* 3.3: the information. */
#define INFO_SIZE      116
#define INFO_MEMORY    BIT(0)
#define INFO_CMDLINE   BIT(2)
#define INFO_MODULES   BIT(3)
#define INFO_MEMMAP    BIT(6)
#define INFO_LOADER    BIT(9)
#define MODULE_SIZE    16
#define MEMMAP_SIZE    24
#define MEMMAP_LOW_TOP KIB(640)

bool multiboot_find(const struct loader *l, u32 *offset)
{
	static_assert(BOOT_HEAD >= HEADER_SEARCH, "the header is searched in the head");

	for (u32 at = 0; at + HEADER_BASIC <= min_u64(l->head_length, HEADER_SEARCH); at += 4) {
		const u8 *header = &l->head[at];

		if (get32(header) != HEADER_MAGIC ||
		    get32(header) + get32(header + HEADER_FLAGS) + get32(header + HEADER_SUM) != 0)
			continue;
		*offset = at;
		return true;
	}
	return false;
}

/* 3.1.3: the header says itself where to load, whatever kind of file it is in. */
static enum hv_error load_kludge(struct x86_loader *x, u32 offset, u64 *entry)
{
	struct loader *l = &x->loader;
	const u8 *header = &l->head[offset];
	u64 file_size = l->kernel->size;
	u64 header_addr, load, load_end, bss_end, from, length;
	enum hv_error err;

	if (offset + HEADER_KLUDGE > l->head_length) {
		boot_refuse(l, "has a multiboot header that is cut short; link it again");
		return HV_ECORRUPT;
	}
	header_addr = get32(header + HEADER_ADDR);
	load = get32(header + LOAD_ADDR);
	load_end = get32(header + LOAD_END_ADDR);
	bss_end = get32(header + BSS_END_ADDR);
	if (load > header_addr || header_addr - load > offset ||
	    (load_end != 0 && load_end < load) ||
	    (bss_end != 0 && bss_end < max_u64(load, load_end))) {
		boot_refuse(l, "has a damaged multiboot header; link it again");
		return HV_ECORRUPT;
	}
	from = offset - (header_addr - load);
	length = load_end != 0 ? load_end - load : file_size - from;
	if (length > file_size - from) {
		boot_refuse_cut(l, from + length);
		return HV_ECORRUPT;
	}
	*entry = get32(header + ENTRY_ADDR);
	if (length > UINT64_MAX - load)
		length = UINT64_MAX - load;
	l->kernel_start = load;
	l->kernel_end = max_u64(load + length, bss_end);
	err = boot_x86_check_place(x, load, l->kernel_end - load);
	if (err == HV_OK)
		err = boot_copy(l, l->kernel, from, load, length);
	if (err == HV_OK)
		err = boot_zero(l, load + length, l->kernel_end - (load + length));
	return err;
}

/* KiB of RAM from @base on, without a hole, up to @end. */
static u32 contiguous_kib(const struct e820_map *map, u64 base, u64 end)
{
	for (u32 i = 0; i < map->count; i++) {
		const struct e820_entry *entry = &map->entries[i];

		if (entry->type == E820_RAM && entry->base <= base &&
		    base - entry->base < entry->length)
			return (u32)((min_u64(entry->base + entry->length, end) - base) / KIB(1));
	}
	return 0;
}

static u32 write_memmap(const struct e820_map *map, u8 *list)
{
	for (u32 i = 0; i < map->count; i++) {
		u8 *at = &list[i * MEMMAP_SIZE];

		put32(at, MEMMAP_SIZE - 4); /* of what follows */
		put64(at + 4, map->entries[i].base);
		put64(at + 12, map->entries[i].length);
		put32(at + 20, map->entries[i].type);
	}
	return map->count * MEMMAP_SIZE;
}

/* The name of the initrd without its directory. */
static const char *initrd_name(const struct loader *l)
{
	const char *name = l->initrd->name;
	const char *slash = strrchr(name, '/');

	return slash ? slash + 1 : name;
}

static enum hv_error write_module(struct loader *l)
{
	u8 module[MODULE_SIZE] = {0};
	char name[BOOT_NAME_ROOM] = {0};
	enum hv_error err;

	strncpy(name, initrd_name(l), sizeof(name) - 1);
	put32(module, (u32)l->initrd_start);
	put32(module + 4, (u32)l->initrd_end);
	put32(module + 8, BOOT_NAMES);
	err = boot_write(l, BOOT_NAMES, name, strlen(name) + 1);
	if (err != HV_OK)
		return err;
	return boot_write(l, BOOT_MODULES, module, sizeof(module));
}

static enum hv_error write_info(struct x86_loader *x)
{
	static const char loader[] = "anew";
	const struct e820_map *map = x->request->e820;
	struct loader *l = &x->loader;
	u8 info[INFO_SIZE] = {0};
	u8 memmap[E820_MAX * MEMMAP_SIZE] = {0};
	u64 flags = INFO_MEMORY | INFO_CMDLINE | INFO_MEMMAP | INFO_LOADER;
	enum hv_error err;

	if (l->initrd) {
		flags |= INFO_MODULES;
		put32(info + 20, 1);
		put32(info + 24, BOOT_MODULES);
		err = write_module(l);
		if (err != HV_OK)
			return err;
	}
	put32(info, (u32)flags);
	put32(info + 4, contiguous_kib(map, 0, MEMMAP_LOW_TOP));
	put32(info + 8, contiguous_kib(map, MIB(1), GIB(4)));
	put32(info + 16, BOOT_CMDLINE);
	put32(info + 44, write_memmap(map, memmap));
	put32(info + 48, BOOT_LISTS);
	put32(info + 64, BOOT_LOADER);
	err = boot_write(l, BOOT_LISTS, memmap, sizeof(memmap));
	if (err == HV_OK)
		err = boot_write(l, BOOT_LOADER, loader, sizeof(loader));
	if (err == HV_OK)
		err = boot_write(l, BOOT_INFO, info, sizeof(info));
	return err;
}

enum hv_error multiboot_load(struct x86_loader *x, u32 offset, const struct elf *elf)
{
	struct loader *l = &x->loader;
	u32 flags = get32(&l->head[offset + HEADER_FLAGS]);
	u64 entry;
	enum hv_error err;

	if (flags & FLAGS_MUST & ~FLAGS_KNOWN) {
		boot_refuse(l,
			    "asks in its multiboot header for what anew doesn't have (flags "
			    "0x%x); use a kernel that needs at most flags 0x%x",
			    flags & FLAGS_MUST, FLAGS_KNOWN);
		return HV_EUNSUPPORTED;
	}
	if (flags & FLAG_KLUDGE) {
		err = load_kludge(x, offset, &entry);
	} else if (elf) {
		entry = elf_entry(elf);
		err = elf_load(x, elf);
	} else {
		boot_refuse(l,
			    "has a multiboot header, but is not an ELF file and the header has no "
			    "addresses (flag 16); build it with one of them");
		return HV_EUNSUPPORTED;
	}
	if (err != HV_OK)
		return err;
	if (entry < l->kernel_start || entry >= l->kernel_end) {
		boot_refuse(l, "has its entry at 0x%llx, outside of what it loads; link it again",
			    (unsigned long long)entry);
		return HV_ECORRUPT;
	}
	err = boot_x86_write_cmdline(x, BOOT_CMDLINE_MAX);
	if (err == HV_OK)
		err = boot_x86_load_initrd(x, GIB(4));
	if (err == HV_OK)
		err = write_info(x);
	if (err == HV_OK)
		err = boot_x86_set_mode(x, BOOT_X86_PROTECTED32);
	if (err != HV_OK)
		return err;
	x->entry->protocol = "multiboot";
	x->entry->rip = entry;
	x->entry->rax = ENTRY_MAGIC;
	x->entry->rbx = BOOT_INFO;
	return HV_OK;
}
