/* SPDX-License-Identifier: MIT */
/*
 * Linux by its 64-bit boot protocol. Offsets, names and rules are those of the kernel's
 * Documentation/arch/x86/boot.rst ("The Real-Mode Kernel Header", "64-bit Boot Protocol") and
 * zero-page.rst.
 */
#include "load_x86.h"
#include <string.h>

/* The setup header, as offsets both in the file and in the zero page. */
#define SETUP_SECTS     0x1f1
#define SYSSIZE         0x1f4
#define VID_MODE        0x1fa
#define BOOT_FLAG       0x1fe
#define JUMP_LENGTH     0x201
#define HEADER          0x202
#define VERSION         0x206
#define TYPE_OF_LOADER  0x210
#define LOADFLAGS       0x211
#define CODE32_START    0x214
#define RAMDISK_IMAGE   0x218
#define RAMDISK_SIZE    0x21c
#define CMD_LINE_PTR    0x228
#define INITRD_ADDR_MAX 0x22c
#define XLOADFLAGS      0x236
#define CMDLINE_SIZE    0x238
#define SETUP_DATA      0x250
#define PREF_ADDRESS    0x258
#define INIT_SIZE       0x260
#define HEADER_MIN      0x264 /* end of the fields above */
#define HEADER_MAX      0x290 /* where the zero page has other things */

#define BOOT_FLAG_MAGIC     0xaa55
#define HEADER_MAGIC        0x53726448 /* "HdrS" */
#define VERSION_MIN         0x020c     /* has xloadflags */
#define LOADFLAGS_HIGH      BIT(0)
#define XLF_KERNEL_64       BIT(0)
#define LOADER_OTHER        0xff
#define VID_MODE_NORMAL     0xffff
#define SETUP_SECTS_DEFAULT 4
#define SECTOR              512
#define ENTRY_64            0x200 /* from the load address */

/* Other fields of the zero page. */
#define ACPI_RSDP_ADDR 0x070
#define E820_ENTRIES   0x1e8
#define E820_TABLE     0x2d0
#define E820_SIZE      20

/* struct setup_data: next (8), type (4), length (4), data. */
#define SETUP_DATA_HEADER 16
#define SETUP_RNG_SEED    9

/* APM vol. 2, 5.3: page-table entries. */
#define PTE_PRESENT BIT(0)
#define PTE_WRITE   BIT(1)
#define PTE_LARGE   BIT(7)
#define PTE_COUNT   512
#define MAPPED_GIB  4

bool linux_match(const struct loader *l)
{
	return l->head_length >= HEADER_MIN && get16(&l->head[BOOT_FLAG]) == BOOT_FLAG_MAGIC &&
	       get32(&l->head[HEADER]) == HEADER_MAGIC;
}

static enum hv_error check_header(struct loader *l, u64 *code_offset, u64 *code_size)
{
	const u8 *head = l->head;
	u64 size = l->kernel->size;
	u32 version = get16(&head[VERSION]);
	u32 sectors = head[SETUP_SECTS] ? head[SETUP_SECTS] : SETUP_SECTS_DEFAULT;
	u64 promised = (u64)get32(&head[SYSSIZE]) * 16;

	if (version < VERSION_MIN || !(head[LOADFLAGS] & LOADFLAGS_HIGH)) {
		boot_refuse(l,
			    "is too old (boot protocol %u.%02u); use a bzImage of Linux 3.8 or "
			    "newer, for x86_64",
			    version >> 8, version & 0xff);
		return HV_EUNSUPPORTED;
	}
	if (!(get16(&head[XLOADFLAGS]) & XLF_KERNEL_64)) {
		boot_refuse(l, "is a 32-bit kernel; use one for x86_64");
		return HV_EUNSUPPORTED;
	}
	*code_offset = ((u64)sectors + 1) * SECTOR;
	/* What the header promises is rounded up to 16 bytes, the file need not be. */
	if (*code_offset >= size || promised > ALIGN_UP(size - *code_offset, (u64)16)) {
		boot_refuse_cut(l, *code_offset + max_u64(promised, 1));
		return HV_ECORRUPT;
	}
	*code_size = size - *code_offset;
	return HV_OK;
}

static enum hv_error write_page_tables(struct loader *l)
{
	const u64 flags = PTE_PRESENT | PTE_WRITE;
	u64 pdpt = BOOT_PAGE_TABLES + PAGE_SIZE;
	u64 pds = pdpt + PAGE_SIZE;
	u64 table[PTE_COUNT] = {pdpt | flags};
	enum hv_error err = boot_write(l, BOOT_PAGE_TABLES, table, sizeof(table));

	if (err != HV_OK)
		return err;
	for (u64 i = 0; i < MAPPED_GIB; i++)
		table[i] = (pds + i * PAGE_SIZE) | flags;
	err = boot_write(l, pdpt, table, sizeof(table));
	for (u64 i = 0; i < MAPPED_GIB && err == HV_OK; i++) {
		for (u64 j = 0; j < PTE_COUNT; j++)
			table[j] = (GIB(i) + j * MIB(2)) | flags | PTE_LARGE;
		err = boot_write(l, pds + i * PAGE_SIZE, table, sizeof(table));
	}
	return err;
}

static enum hv_error write_seed(struct x86_loader *x)
{
	const struct boot_x86_request *request = x->request;
	struct loader *l = &x->loader;
	u8 header[SETUP_DATA_HEADER] = {0};
	enum hv_error err;

	put32(&header[8], SETUP_RNG_SEED);
	put32(&header[12], (u32)request->rng_seed_length);
	err = boot_write(l, BOOT_SEED, header, sizeof(header));
	if (err != HV_OK)
		return err;
	return boot_write(l, BOOT_SEED + sizeof(header), request->rng_seed,
			  request->rng_seed_length);
}

static enum hv_error write_zero_page(struct x86_loader *x)
{
	const struct boot_x86_request *request = x->request;
	struct loader *l = &x->loader;
	u8 page[PAGE_SIZE] = {0};
	u32 header_end = (u32)min_u64((u64)HEADER + l->head[JUMP_LENGTH], HEADER_MAX);

	if (header_end > SETUP_SECTS)
		memcpy(&page[SETUP_SECTS], &l->head[SETUP_SECTS], header_end - SETUP_SECTS);
	page[VID_MODE] = (u8)VID_MODE_NORMAL;
	page[VID_MODE + 1] = (u8)(VID_MODE_NORMAL >> 8);
	page[TYPE_OF_LOADER] = LOADER_OTHER;
	put32(&page[CODE32_START], (u32)l->kernel_start);
	put32(&page[RAMDISK_IMAGE], (u32)l->initrd_start);
	put32(&page[RAMDISK_SIZE], (u32)(l->initrd_end - l->initrd_start));
	put32(&page[CMD_LINE_PTR], BOOT_CMDLINE);
	put64(&page[SETUP_DATA], request->rng_seed ? BOOT_SEED : 0);
	put64(&page[ACPI_RSDP_ADDR], request->rsdp.v);
	page[E820_ENTRIES] = (u8)request->e820->count;
	for (u32 i = 0; i < request->e820->count; i++) {
		const struct e820_entry *entry = &request->e820->entries[i];
		u8 *at = &page[E820_TABLE + i * E820_SIZE];

		put64(at, entry->base);
		put64(at + 8, entry->length);
		put32(at + 16, entry->type);
	}
	return boot_write(l, BOOT_INFO, page, sizeof(page));
}

enum hv_error linux_load(struct x86_loader *x)
{
	const struct boot_x86_request *request = x->request;
	struct loader *l = &x->loader;
	u64 load = get64(&l->head[PREF_ADDRESS]);
	u64 code_offset, code_size;
	enum hv_error err = check_header(l, &code_offset, &code_size);

	if (err != HV_OK)
		return err;
	/* The entry is within what is loaded, and the real-mode areas stay as they are. */
	if (load < BOOT_KERNEL_MIN || code_size <= ENTRY_64) {
		boot_refuse(l, "has a damaged header; copy the file again");
		return HV_ECORRUPT;
	}
	code_size = min_u64(code_size, UINT64_MAX - load);
	l->kernel_start = load;
	l->kernel_end = load + max_u64(code_size, get32(&l->head[INIT_SIZE]));
	if (l->kernel_end < load)
		l->kernel_end = UINT64_MAX;

	err = boot_x86_check_place(x, load, l->kernel_end - load);
	if (err == HV_OK)
		err = boot_x86_write_cmdline(x, get32(&l->head[CMDLINE_SIZE]));
	if (err == HV_OK)
		err = boot_x86_load_initrd(x, (u64)get32(&l->head[INITRD_ADDR_MAX]) + 1);
	if (err == HV_OK)
		err = boot_copy(l, request->kernel, code_offset, load, code_size);
	if (err == HV_OK && request->rng_seed)
		err = write_seed(x);
	if (err == HV_OK)
		err = write_zero_page(x);
	if (err == HV_OK)
		err = write_page_tables(l);
	if (err == HV_OK)
		err = boot_x86_set_mode(x, BOOT_X86_LONG64);
	if (err != HV_OK)
		return err;
	x->entry->protocol = "Linux";
	x->entry->rip = load + ENTRY_64;
	x->entry->rsi = BOOT_INFO;
	x->entry->cr3 = BOOT_PAGE_TABLES;
	return HV_OK;
}
