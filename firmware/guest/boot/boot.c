/* SPDX-License-Identifier: MIT */
#include "load.h"
#include <string.h>

#define MIB_UP(bytes)   ((unsigned long long)((bytes) / MIB(1) + ((bytes) % MIB(1) != 0)))
#define MIB_DOWN(bytes) ((unsigned long long)((bytes) / MIB(1)))

enum hv_error boot_begin(struct loader *l, const struct guest_mem *mem,
			 const struct boot_file *kernel, const struct boot_file *initrd,
			 const struct guest_range *ram, u32 ram_count)
{
	l->mem = mem;
	l->kernel = kernel;
	l->initrd = initrd;
	l->ram = ram;
	l->ram_count = ram_count;
	l->kernel_start = 0;
	l->kernel_end = 0;
	l->initrd_start = 0;
	l->initrd_end = 0;
	l->head_length = (u32)min_u64(kernel->size, sizeof(l->head));
	memset(l->head, 0, sizeof(l->head));
	return boot_read(l, kernel, 0, l->head, l->head_length);
}

enum hv_error boot_read(struct loader *l, const struct boot_file *file, u64 offset, void *buf,
			size_t length)
{
	const char *what = file == l->kernel ? "kernel" : "initrd";
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
	enum hv_error err = guest_write(l->mem, GPA(to), buf, length);

	if (err != HV_OK) {
		boot_refuse(l,
			    "can't write the VM's memory at 0x%llx (%s); give the VM other "
			    "'memory', or stop another VM",
			    (unsigned long long)to, hv_error_text(err));
		return err;
	}
	guest_clean(l->mem, GPA(to), length);
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

static u64 ram_bytes(const struct loader *l)
{
	u64 bytes = 0;

	for (u32 i = 0; i < l->ram_count; i++)
		bytes += l->ram[i].length;
	return bytes;
}

/* Bytes of memory that a VM has to have for RAM up to @end. */
static u64 ram_needed(const struct loader *l, u64 end)
{
	return end - l->ram[0].base;
}

static bool overlap(u64 start, u64 end, u64 other_start, u64 other_end)
{
	return start < other_end && other_start < end;
}

static u64 place_in(const struct loader *l, u64 size, u64 align, u64 start, u64 end)
{
	while (end > start && end - start >= size) {
		u64 at = ALIGN_DOWN(end - size, align);

		if (at < start)
			break;
		if (overlap(at, at + size, l->kernel_start, l->kernel_end))
			end = l->kernel_start;
		else if (overlap(at, at + size, l->initrd_start, l->initrd_end))
			end = l->initrd_start;
		else
			return at;
	}
	return 0;
}

u64 boot_place(const struct loader *l, u64 size, u64 align, u64 floor, u64 limit)
{
	u64 best = 0;

	for (u32 i = 0; i < l->ram_count; i++) {
		u64 start = max_u64(l->ram[i].base, floor);
		u64 end = min_u64(l->ram[i].base + l->ram[i].length, limit);

		best = max_u64(best, place_in(l, size, align, start, end));
	}
	return best;
}

enum hv_error boot_load_initrd(struct loader *l, u64 floor, u64 limit)
{
	const struct boot_file *initrd = l->initrd;
	u64 place;

	if (!initrd)
		return HV_OK;
	if (initrd->size == 0) {
		log_error("initrd '%s': is empty; copy the file again, or configure no initrd",
			  initrd->name);
		return HV_ECORRUPT;
	}
	place = boot_place(l, initrd->size, PAGE_SIZE, floor, limit);
	if (place == 0) {
		u64 room = UINT64_MAX - l->kernel_end;

		log_error("initrd '%s': does not fit: needs %llu MiB with its kernel, the VM has "
			  "%llu MiB; give the VM more 'memory'",
			  initrd->name,
			  MIB_UP(ram_needed(l, l->kernel_end + min_u64(initrd->size, room))),
			  MIB_DOWN(ram_bytes(l)));
		return HV_ENO_SPACE;
	}
	l->initrd_start = place;
	l->initrd_end = place + initrd->size;
	return boot_copy(l, initrd, 0, place, initrd->size);
}

enum hv_error boot_check_cmdline(struct loader *l, const char *cmdline, u64 max)
{
	size_t length = strlen(cmdline);

	if (length <= max)
		return HV_OK;
	boot_refuse(l,
		    "takes a command line of at most %llu bytes, this one has %llu; shorten "
		    "'cmdline'",
		    (unsigned long long)max, (unsigned long long)length);
	return HV_ETOO_BIG;
}

void boot_refuse_end(struct loader *l, u64 end)
{
	boot_refuse(l,
		    "does not fit: needs %llu MiB, the VM has %llu MiB; give the VM more 'memory'",
		    MIB_UP(ram_needed(l, end)), MIB_DOWN(ram_bytes(l)));
}

void boot_refuse_cut(struct loader *l, u64 size)
{
	boot_refuse(l, "is cut short: has %llu bytes, should have %llu; copy the file again",
		    (unsigned long long)l->kernel->size, (unsigned long long)size);
}

void boot_refuse_memory(struct loader *l)
{
	boot_refuse(l, "the VM has no memory to boot in; give the VM more 'memory'");
}
