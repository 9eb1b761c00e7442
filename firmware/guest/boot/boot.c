/* SPDX-License-Identifier: MIT */
#include "load.h"
#include <string.h>

#define MIB_UP(bytes)   ((unsigned long long)((bytes) / MIB(1) + ((bytes) % MIB(1) != 0)))
#define MIB_DOWN(bytes) ((unsigned long long)((bytes) / MIB(1)))

static struct loader the_loader;

enum hv_error boot_read(struct loader *l, const struct boot_file *file, u64 offset, void *buf,
			size_t length)
{
	const char *what = file == l->request->kernel ? "kernel" : "initrd";
	enum hv_error err;

	if (offset > file->size || length > file->size - offset) {
		log_error("%s '%s': is cut short or damaged; copy the file again", what,
			  file->name);
		return HV_ECORRUPT;
	}
	err = file->read(file->ctx, offset, buf, length);
	if (err != HV_OK)
		log_error("%s '%s': can't be read at byte %llu (%s); check the volume", what,
			  file->name, (unsigned long long)offset, hv_error_text(err));
	return err;
}

enum hv_error boot_write(struct loader *l, u64 to, const void *buf, size_t length)
{
	enum hv_error err = guest_write(l->request->mem, GPA(to), buf, length);

	if (err != HV_OK) {
		boot_refuse(l,
			    "can't write the VM's memory at 0x%llx (%s); give the VM other "
			    "'memory', or stop another VM",
			    (unsigned long long)to, hv_error_text(err));
		return err;
	}
	guest_clean(l->request->mem, GPA(to), length);
	return HV_OK;
}

enum hv_error boot_copy(struct loader *l, const struct boot_file *file, u64 offset, u64 to,
			u64 length)
{
	while (length > 0) {
		size_t piece = (size_t)min_u64(length, sizeof(l->piece));
		enum hv_error err = boot_read(l, file, offset, l->piece, piece);

		if (err == HV_OK)
			err = boot_write(l, to, l->piece, piece);
		if (err != HV_OK)
			return err;
		offset += piece;
		to += piece;
		length -= piece;
	}
	return HV_OK;
}

enum hv_error boot_zero(struct loader *l, u64 to, u64 length)
{
	memset(l->piece, 0, (size_t)min_u64(length, sizeof(l->piece)));
	while (length > 0) {
		size_t piece = (size_t)min_u64(length, sizeof(l->piece));
		enum hv_error err = boot_write(l, to, l->piece, piece);

		if (err != HV_OK)
			return err;
		to += piece;
		length -= piece;
	}
	return HV_OK;
}

enum hv_error boot_check_place(struct loader *l, u64 base, u64 length)
{
	const struct boot_request *request = l->request;

	if (length > UINT64_MAX - base || base + length > GIB(4)) {
		boot_refuse(l, "wants to be loaded above 4 GiB; use a kernel that is linked below");
		return HV_EUNSUPPORTED;
	}
	if (base + length > request->low_ram_top) {
		boot_refuse(l,
			    "does not fit: needs %llu MiB, the VM has %llu MiB; give the VM "
			    "more 'memory'",
			    MIB_UP(base + length), MIB_DOWN(e820_ram(request->e820)));
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

/* The highest page in [start, end) from which @size bytes fit, or @best if that is higher. */
static u64 highest(u64 start, u64 end, u64 size, u64 best)
{
	u64 at;

	if (start >= end || end - start < size)
		return best;
	at = ALIGN_DOWN(end - size, PAGE_SIZE);
	return at >= start && at > best ? at : best;
}

enum hv_error boot_load_initrd(struct loader *l, u64 limit, u64 *base, u64 *size)
{
	const struct boot_request *request = l->request;
	const struct boot_file *initrd = request->initrd;
	u64 place = 0;

	*base = 0;
	*size = 0;
	if (!initrd)
		return HV_OK;
	if (initrd->size == 0) {
		log_error("initrd '%s': is empty; copy the file again, or configure no initrd",
			  initrd->name);
		return HV_ECORRUPT;
	}
	limit = min_u64(limit, request->low_ram_top);
	for (u32 i = 0; i < request->e820->count; i++) {
		const struct e820_entry *ram = &request->e820->entries[i];
		u64 start = max_u64(ram->base, BOOT_KERNEL_MIN);
		u64 end = min_u64(ram->base + ram->length, limit);

		if (ram->type != E820_RAM)
			continue;
		place = highest(start, min_u64(end, l->kernel_start), initrd->size, place);
		place = highest(max_u64(start, l->kernel_end), end, initrd->size, place);
	}
	if (place == 0) {
		u64 need = initrd->size > UINT64_MAX - l->kernel_end ? UINT64_MAX
								     : l->kernel_end + initrd->size;

		log_error("initrd '%s': does not fit: needs %llu MiB with its kernel, the VM has "
			  "%llu MiB; give the VM more 'memory'",
			  initrd->name, MIB_UP(need), MIB_DOWN(e820_ram(request->e820)));
		return HV_ENO_SPACE;
	}
	*base = place;
	*size = initrd->size;
	return boot_copy(l, initrd, 0, place, initrd->size);
}

enum hv_error boot_write_cmdline(struct loader *l, u64 max)
{
	const char *cmdline = l->request->cmdline ? l->request->cmdline : "";
	size_t length = strlen(cmdline);

	max = min_u64(max, BOOT_CMDLINE_MAX);
	if (length > max) {
		boot_refuse(l,
			    "takes a command line of at most %llu bytes, this one has %llu; "
			    "shorten 'cmdline'",
			    (unsigned long long)max, (unsigned long long)length);
		return HV_ETOO_BIG;
	}
	return boot_write(l, BOOT_CMDLINE, cmdline, length + 1);
}

enum hv_error boot_set_mode(struct loader *l, enum boot_mode mode)
{
	/* APM vol. 2, 4.7 and 4.8: accessed, present, ring 0, 4 GiB in units of 4 KiB. */
	const u64 code64 = 0x00af9b000000ffff;
	const u64 code32 = 0x00cf9b000000ffff;
	const u64 data = 0x00cf93000000ffff;
	u64 gdt[4] = {0};

	gdt[BOOT_CODE_SELECTOR / 8] = mode == BOOT_LONG64 ? code64 : code32;
	gdt[BOOT_DATA_SELECTOR / 8] = data;
	l->entry->mode = mode;
	l->entry->rsp = BOOT_STACK_TOP;
	l->entry->gdt_base = BOOT_GDT;
	l->entry->gdt_limit = sizeof(gdt) - 1;
	return boot_write(l, BOOT_GDT, gdt, sizeof(gdt));
}

const char *boot_initrd_name(const struct loader *l)
{
	const char *name = l->request->initrd->name;
	const char *slash = strrchr(name, '/');

	return slash ? slash + 1 : name;
}

static enum hv_error load_elf(struct loader *l, bool multiboot, u32 header)
{
	struct elf elf;
	bool pvh;
	u64 entry;
	enum hv_error err = elf_read(l, &elf);

	if (err == HV_OK)
		err = pvh_find(l, &elf, &pvh, &entry);
	if (err != HV_OK)
		return err;
	if (pvh)
		return pvh_load(l, &elf, entry);
	if (multiboot)
		return multiboot_load(l, header, &elf);
	boot_refuse(l, "is an ELF file without a PVH note and without a multiboot header; build it "
		       "with one (Linux: CONFIG_PVH), or use a bzImage");
	return HV_EUNSUPPORTED;
}

static enum hv_error load(struct loader *l)
{
	const struct boot_file *kernel = l->request->kernel;
	u32 header = 0;
	bool multiboot;
	enum hv_error err;

	l->head_length = (u32)min_u64(kernel->size, sizeof(l->head));
	memset(l->head, 0, sizeof(l->head));
	err = boot_read(l, kernel, 0, l->head, l->head_length);
	if (err != HV_OK)
		return err;
	if (linux_match(l))
		return linux_load(l);
	multiboot = multiboot_find(l, &header);
	if (elf_match(l))
		return load_elf(l, multiboot, header);
	if (multiboot)
		return multiboot_load(l, header, NULL);
	boot_refuse(l,
		    "is not a kernel that anew knows; use a Linux bzImage, or an ELF file with a "
		    "PVH note or a multiboot header");
	return HV_EUNSUPPORTED;
}

enum hv_error boot_load(const struct boot_request *request, struct boot_entry *entry)
{
	struct loader *l = &the_loader;
	enum hv_error err;

	memset(entry, 0, sizeof(*entry));
	l->request = request;
	l->entry = entry;
	l->kernel_start = 0;
	l->kernel_end = 0;
	if (request->low_ram_top > GIB(4) || request->rng_seed_length > BOOT_RNG_SEED_MAX ||
	    !e820_is_ram(request->e820, BOOT_AREA_BASE, BOOT_AREA_END - BOOT_AREA_BASE)) {
		boot_refuse(l, "the VM has no memory to boot in; give the VM more 'memory'");
		return HV_EINVALID;
	}
	err = load(l);
	if (err != HV_OK)
		memset(entry, 0, sizeof(*entry));
	return err;
}
