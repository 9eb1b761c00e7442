/* SPDX-License-Identifier: MIT */
/*
 * Kernels with a PVH entry: Xen's docs/misc/pvh.pandoc (state at entry), xen/include/public/
 * elfnote.h (the note) and arch-x86/hvm/start_info.h (what ebx points at).
 */
#include "load_x86.h"
#include <string.h>

#define SEGMENT_NOTE 4
#define NOTE_HEADER  12 /* sizes of name and descriptor, type */
#define NOTE_TYPE    18 /* XEN_ELFNOTE_PHYS32_ENTRY */
#define NOTE_NAME    "Xen"

#define START_MAGIC   0x336ec578
#define START_VERSION 1
#define START_SIZE    56
#define MODULE_SIZE   32
#define MEMMAP_SIZE   24

/* Looks through @length bytes of notes. */
static bool find_note(const u8 *notes, u64 length, u64 align, u64 *entry)
{
	u64 at = 0;

	while (length - at >= NOTE_HEADER) {
		u64 name_size = get32(notes + at);
		u64 desc_size = get32(notes + at + 4);
		u32 type = get32(notes + at + 8);
		u64 name = at + NOTE_HEADER;
		u64 desc = ALIGN_UP(name + name_size, align);
		u64 next = ALIGN_UP(desc + desc_size, align);

		if (desc + desc_size > length)
			return false;
		if (type == NOTE_TYPE && name_size == sizeof(NOTE_NAME) && desc_size >= 4 &&
		    memcmp(notes + name, NOTE_NAME, sizeof(NOTE_NAME)) == 0) {
			*entry = desc_size >= 8 ? get64(notes + desc) : get32(notes + desc);
			return true;
		}
		if (next >= length)
			return false;
		at = next;
	}
	return false;
}

enum hv_error pvh_find(struct loader *l, const struct elf *elf, bool *found, u64 *entry)
{
	*found = false;
	*entry = 0;
	for (u32 i = 0; i < elf->count && !*found; i++) {
		const struct elf_segment *segment = &elf->segments[i];
		u64 length = min_u64(segment->filesz, sizeof(l->piece));
		enum hv_error err;

		if (segment->type != SEGMENT_NOTE)
			continue;
		err = boot_read(l, l->kernel, segment->offset, l->piece, (size_t)length);
		if (err != HV_OK)
			return err;
		*found = find_note(l->piece, length, segment->align == 8 ? 8 : 4, entry);
	}
	return HV_OK;
}

static enum hv_error write_lists(struct x86_loader *x)
{
	const struct e820_map *map = x->request->e820;
	struct loader *l = &x->loader;
	u8 memmap[E820_MAX * MEMMAP_SIZE] = {0};
	u8 module[MODULE_SIZE] = {0};
	enum hv_error err;

	for (u32 i = 0; i < map->count; i++) {
		u8 *at = &memmap[i * MEMMAP_SIZE];

		put64(at, map->entries[i].base);
		put64(at + 8, map->entries[i].length);
		put32(at + 16, map->entries[i].type);
	}
	err = boot_write(l, BOOT_LISTS, memmap, sizeof(memmap));
	if (err != HV_OK || !l->initrd)
		return err;
	put64(module, l->initrd_start);
	put64(module + 8, l->initrd_end - l->initrd_start);
	return boot_write(l, BOOT_MODULES, module, sizeof(module));
}

static enum hv_error write_start_info(struct x86_loader *x)
{
	u8 info[START_SIZE] = {0};

	put32(info, START_MAGIC);
	put32(info + 4, START_VERSION);
	if (x->loader.initrd) {
		put32(info + 12, 1);
		put64(info + 16, BOOT_MODULES);
	}
	put64(info + 24, BOOT_CMDLINE);
	put64(info + 32, x->request->rsdp.v);
	put64(info + 40, BOOT_LISTS);
	put32(info + 48, x->request->e820->count);
	return boot_write(&x->loader, BOOT_INFO, info, sizeof(info));
}

enum hv_error pvh_load(struct x86_loader *x, const struct elf *elf, u64 entry)
{
	struct loader *l = &x->loader;
	enum hv_error err = elf_load(x, elf);

	if (err != HV_OK)
		return err;
	if (entry < l->kernel_start || entry >= l->kernel_end) {
		boot_refuse(l,
			    "has its PVH entry at 0x%llx, outside of what it loads; link it again",
			    (unsigned long long)entry);
		return HV_ECORRUPT;
	}
	err = boot_x86_write_cmdline(x, BOOT_CMDLINE_MAX);
	if (err == HV_OK)
		err = boot_x86_load_initrd(x, GIB(4));
	if (err == HV_OK)
		err = write_lists(x);
	if (err == HV_OK)
		err = write_start_info(x);
	if (err == HV_OK)
		err = boot_x86_set_mode(x, BOOT_X86_PROTECTED32);
	if (err != HV_OK)
		return err;
	x->entry->protocol = "PVH";
	x->entry->rip = entry;
	x->entry->rbx = BOOT_INFO;
	return HV_OK;
}
