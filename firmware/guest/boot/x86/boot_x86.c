/* SPDX-License-Identifier: MIT */
#include "load_x86.h"
#include <string.h>

static struct x86_loader the_loader;

enum hv_error boot_x86_check_place(struct x86_loader *x, u64 base, u64 length)
{
	const struct boot_x86_request *request = x->request;
	struct loader *l = &x->loader;

	if (length > UINT64_MAX - base || base + length > GIB(4)) {
		boot_refuse(l, "wants to be loaded above 4 GiB; use a kernel that is linked below");
		return HV_EUNSUPPORTED;
	}
	if (base + length > request->low_ram_top) {
		boot_refuse_end(l, base + length);
		return HV_ENO_SPACE;
	}
	if (!e820_is_ram(request->e820, base, length) ||
	    (base < BOOT_AREA_END && base + length > BOOT_AREA_BASE)) {
		boot_refuse(l,
			    "wants to be loaded at 0x%llx to 0x%llx, which is not all free RAM; "
			    "link it at 1 MiB or above",
			    (unsigned long long)base, (unsigned long long)(base + length));
		return HV_ENO_SPACE;
	}
	return HV_OK;
}

enum hv_error boot_x86_load_initrd(struct x86_loader *x, u64 limit)
{
	return boot_load_initrd(&x->loader, BOOT_KERNEL_MIN,
				min_u64(limit, x->request->low_ram_top));
}

enum hv_error boot_x86_write_cmdline(struct x86_loader *x, u64 max)
{
	const char *cmdline = x->request->cmdline ? x->request->cmdline : "";
	enum hv_error err = boot_check_cmdline(&x->loader, cmdline, min_u64(max, BOOT_CMDLINE_MAX));

	if (err != HV_OK)
		return err;
	return boot_write(&x->loader, BOOT_CMDLINE, cmdline, strlen(cmdline) + 1);
}

enum hv_error boot_x86_set_mode(struct x86_loader *x, enum boot_x86_mode mode)
{
	/* APM vol. 2, 4.7 and 4.8: accessed, present, ring 0, 4 GiB in units of 4 KiB. */
	const u64 code64 = 0x00af9b000000ffff;
	const u64 code32 = 0x00cf9b000000ffff;
	const u64 data = 0x00cf93000000ffff;
	u64 gdt[4] = {0};

	gdt[BOOT_CODE_SELECTOR / 8] = mode == BOOT_X86_LONG64 ? code64 : code32;
	gdt[BOOT_DATA_SELECTOR / 8] = data;
	x->entry->mode = mode;
	x->entry->rsp = BOOT_STACK_TOP;
	x->entry->gdt_base = BOOT_GDT;
	x->entry->gdt_limit = sizeof(gdt) - 1;
	return boot_write(&x->loader, BOOT_GDT, gdt, sizeof(gdt));
}

static enum hv_error load_elf(struct x86_loader *x, bool multiboot, u32 header)
{
	struct loader *l = &x->loader;
	struct elf elf;
	bool pvh;
	u64 entry;
	enum hv_error err = elf_read(l, &elf);

	if (err == HV_OK)
		err = pvh_find(l, &elf, &pvh, &entry);
	if (err != HV_OK)
		return err;
	if (pvh)
		return pvh_load(x, &elf, entry);
	if (multiboot)
		return multiboot_load(x, header, &elf);
	boot_refuse(l, "is an ELF file without a PVH note and without a multiboot header; build it "
		       "with one (Linux: CONFIG_PVH), or use a bzImage");
	return HV_EUNSUPPORTED;
}

static enum hv_error load(struct x86_loader *x)
{
	struct loader *l = &x->loader;
	u32 header = 0;
	bool multiboot;

	if (linux_match(l))
		return linux_load(x);
	multiboot = multiboot_find(l, &header);
	if (elf_match(l))
		return load_elf(x, multiboot, header);
	if (multiboot)
		return multiboot_load(x, header, NULL);
	boot_refuse(l,
		    "is not a kernel that anew knows; use a Linux bzImage, or an ELF file with a "
		    "PVH note or a multiboot header");
	return HV_EUNSUPPORTED;
}

static u32 ram_of_map(const struct e820_map *map, struct guest_range *ram)
{
	u32 count = 0;

	for (u32 i = 0; i < map->count; i++)
		if (map->entries[i].type == E820_RAM)
			ram[count++] =
				(struct guest_range){map->entries[i].base, map->entries[i].length};
	return count;
}

enum hv_error boot_x86_load(const struct boot_x86_request *request, struct boot_x86_entry *entry)
{
	struct x86_loader *x = &the_loader;
	enum hv_error err;

	memset(entry, 0, sizeof(*entry));
	x->request = request;
	x->entry = entry;
	err = boot_begin(&x->loader, request->mem, request->kernel, request->initrd, x->ram,
			 ram_of_map(request->e820, x->ram));
	if (err != HV_OK)
		return err;
	if (request->low_ram_top > GIB(4) || request->rng_seed_length > BOOT_RNG_SEED_MAX ||
	    !e820_is_ram(request->e820, BOOT_AREA_BASE, BOOT_AREA_END - BOOT_AREA_BASE)) {
		boot_refuse_memory(&x->loader);
		return HV_EINVALID;
	}
	err = load(x);
	if (err != HV_OK)
		memset(entry, 0, sizeof(*entry));
	return err;
}
