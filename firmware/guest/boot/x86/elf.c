/* SPDX-License-Identifier: MIT */
/* ELF files of both sizes; offsets are those of the System V ABI (gabi), chapters 4 and 5. */
#include "load_x86.h"
#include <string.h>

#define EI_CLASS   4
#define EI_DATA    5
#define CLASS_32   1
#define CLASS_64   2
#define DATA_LSB   1
#define HEADER_32  52
#define HEADER_64  64
#define SEGMENT_32 32
#define SEGMENT_64 56

#define TYPE_EXEC      2
#define TYPE_DYN       3
#define MACHINE_386    3
#define MACHINE_X86_64 62

#define SEGMENT_LOAD 1

bool elf_match(const struct loader *l)
{
	return l->head_length >= HEADER_32 && memcmp(l->head, "\177ELF", 4) == 0;
}

static struct elf_segment parse_32(const u8 *at)
{
	return (struct elf_segment){
		.type = get32(at),
		.offset = get32(at + 4),
		.vaddr = get32(at + 8),
		.paddr = get32(at + 12),
		.filesz = get32(at + 16),
		.memsz = get32(at + 20),
		.align = get32(at + 28),
	};
}

static struct elf_segment parse_64(const u8 *at)
{
	return (struct elf_segment){
		.type = get32(at),
		.offset = get64(at + 8),
		.vaddr = get64(at + 16),
		.paddr = get64(at + 24),
		.filesz = get64(at + 32),
		.memsz = get64(at + 40),
		.align = get64(at + 48),
	};
}

enum hv_error elf_read(struct loader *l, struct elf *elf)
{
	const u8 *head = l->head;
	bool is_64 = head[EI_CLASS] == CLASS_64;
	u32 type = get16(head + 16);
	u32 machine = get16(head + 18);
	u64 table = is_64 ? get64(head + 32) : get32(head + 28);
	u32 stride = get16(head + (is_64 ? 54 : 42));
	u32 size = is_64 ? SEGMENT_64 : SEGMENT_32;

	if ((!is_64 && head[EI_CLASS] != CLASS_32) || head[EI_DATA] != DATA_LSB ||
	    (is_64 && l->head_length < HEADER_64)) {
		boot_refuse(l, "is a damaged ELF file; copy the file again");
		return HV_ECORRUPT;
	}
	if ((machine != MACHINE_386 && machine != MACHINE_X86_64) ||
	    (type != TYPE_EXEC && type != TYPE_DYN)) {
		boot_refuse(l,
			    "is an ELF file, but not a program for x86 (machine %u, type %u); "
			    "use one that is",
			    machine, type);
		return HV_EUNSUPPORTED;
	}
	elf->entry = is_64 ? get64(head + 24) : get32(head + 24);
	elf->count = get16(head + (is_64 ? 56 : 44));
	if (elf->count == 0 || elf->count > ELF_SEGMENT_MAX || stride < size) {
		boot_refuse(l,
			    "has %u program headers of %u bytes; 1 to %u of at least %u are "
			    "needed",
			    elf->count, stride, ELF_SEGMENT_MAX, size);
		return HV_ECORRUPT;
	}
	for (u32 i = 0; i < elf->count; i++) {
		u8 raw[SEGMENT_64];
		u64 add = (u64)i * stride;
		u64 at = table > UINT64_MAX - add ? UINT64_MAX : table + add;
		enum hv_error err = boot_read(l, l->kernel, at, raw, size);

		if (err != HV_OK)
			return err;
		elf->segments[i] = is_64 ? parse_64(raw) : parse_32(raw);
	}
	return HV_OK;
}

static bool is_loaded(const struct elf_segment *segment)
{
	return segment->type == SEGMENT_LOAD && segment->memsz != 0;
}

/* Bounds that are checked for every segment before the first one is written. */
static enum hv_error check_segment(struct x86_loader *x, const struct elf *elf, u32 index)
{
	struct loader *l = &x->loader;
	const struct elf_segment *segment = &elf->segments[index];
	u64 file_size = l->kernel->size;
	enum hv_error err;

	if (segment->filesz > segment->memsz || segment->offset > file_size ||
	    segment->filesz > file_size - segment->offset) {
		boot_refuse(l, "is cut short or damaged (program header %u); copy the file again",
			    index);
		return HV_ECORRUPT;
	}
	err = boot_x86_check_place(x, segment->paddr, segment->memsz);
	if (err != HV_OK)
		return err;
	for (u32 i = 0; i < index; i++) {
		const struct elf_segment *other = &elf->segments[i];

		if (!is_loaded(other) || segment->paddr >= other->paddr + other->memsz ||
		    other->paddr >= segment->paddr + segment->memsz)
			continue;
		boot_refuse(l, "is damaged: program headers %u and %u overlap; link it again", i,
			    index);
		return HV_ECORRUPT;
	}
	return HV_OK;
}

enum hv_error elf_load(struct x86_loader *x, const struct elf *elf)
{
	struct loader *l = &x->loader;
	u64 start = UINT64_MAX;
	u64 end = 0;
	enum hv_error err = HV_OK;

	for (u32 i = 0; i < elf->count && err == HV_OK; i++) {
		const struct elf_segment *segment = &elf->segments[i];

		if (!is_loaded(segment))
			continue;
		err = check_segment(x, elf, i);
		start = min_u64(start, segment->paddr);
		end = max_u64(end, segment->paddr + segment->memsz);
	}
	if (err == HV_OK && end == 0) {
		boot_refuse(l, "has nothing to load; link it again");
		return HV_ECORRUPT;
	}
	for (u32 i = 0; i < elf->count && err == HV_OK; i++) {
		const struct elf_segment *segment = &elf->segments[i];

		if (!is_loaded(segment))
			continue;
		err = boot_copy(l, l->kernel, segment->offset, segment->paddr, segment->filesz);
		if (err == HV_OK)
			err = boot_zero(l, segment->paddr + segment->filesz,
					segment->memsz - segment->filesz);
	}
	l->kernel_start = start;
	l->kernel_end = end;
	return err;
}

u64 elf_entry(const struct elf *elf)
{
	for (u32 i = 0; i < elf->count; i++) {
		const struct elf_segment *segment = &elf->segments[i];

		if (is_loaded(segment) && elf->entry >= segment->vaddr &&
		    elf->entry - segment->vaddr < segment->memsz)
			return segment->paddr + (elf->entry - segment->vaddr);
	}
	return elf->entry;
}
