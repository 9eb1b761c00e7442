/* SPDX-License-Identifier: MIT */
/*
 * Linux for arm64. Header, names and rules are those of the kernel's
 * Documentation/arch/arm64/booting.rst, sections 2 to 4.
 */
#include <guest/efi.h>
#include <guest/image.h>
#include <string.h>

#include "load.h"

/* The header. */
#define TEXT_OFFSET 8
#define IMAGE_SIZE  16
#define FLAGS       24
#define MAGIC       56
#define PE_OFFSET   60
#define HEADER_SIZE 64

#define MAGIC_VALUE      0x644d5241 /* "ARM\x64" */
#define FLAG_BIG_ENDIAN  BIT(0)
#define FLAGS_PAGE_SHIFT 1
#define FLAGS_PAGE_MASK  3

#define TEXT_OFFSET_OLD 0x80000 /* of kernels before 3.17, whose image_size is 0 */
#define BASE_ALIGN      MIB(2)
#define INITRD_WINDOW   GIB(32)  /* that begins at a multiple of 1 GiB, and has the kernel in it */
#define FDT_WINDOW      MIB(512) /* from the kernel's base, for kernels before 4.2 */
#define CMDLINE_MAX     2047     /* COMMAND_LINE_SIZE of arch/arm64/include/uapi/asm/setup.h */

/* PE format, "COFF File Header" and "Section Table". */
#define PE_MAGIC         0x00004550 /* "PE\0\0" */
#define PE_SECTION_COUNT 6
#define PE_OPTIONAL_SIZE 20
#define PE_OPTIONAL      24
#define SECTION_SIZE     40
#define SECTION_RAW_SIZE 16
#define SECTION_RAW_AT   20

/* EFI zboot: drivers/firmware/efi/libstub/zboot-header.S. */
#define ZBOOT_MAGIC   4
#define ZBOOT_PAYLOAD 8
#define ZBOOT_LENGTH  12
#define ZBOOT_TYPE    24
#define ZBOOT_END     56

static struct loader the_loader;

/* What a kernel may be packed with (scripts/Makefile.lib), by the first bytes of the file. */
static const struct packing {
	const char *name;
	const char *magic;
	u32 length;
} packings[] = {
	{"gzip", "\x1f\x8b", 2},        {"xz", "\xfd\x37zXZ", 5}, {"zstd", "\x28\xb5\x2f\xfd", 4},
	{"lz4", "\x02\x21\x4c\x18", 4}, {"bzip2", "BZh", 3},      {"lzma", "\x5d\x00\x00", 3},
	{"lzop", "\x89LZO", 4},
};

static bool begins_with(const struct loader *l, u32 at, const char *bytes, u32 length)
{
	return l->head_length >= at + length && memcmp(&l->head[at], bytes, length) == 0;
}

static void refuse_zboot(struct loader *l)
{
	char type[ZBOOT_END - ZBOOT_TYPE + 1] = {0};

	/* Only what can be shown. */
	for (u32 i = 0; ZBOOT_TYPE + i < ZBOOT_END; i++) {
		char c = (char)l->head[ZBOOT_TYPE + i];

		if (c <= ' ' || c > '~')
			break;
		type[i] = c;
	}
	boot_refuse(l,
		    "is an EFI zboot file; unpack (%s) its %u bytes from byte %u on, which are the "
		    "Image to use",
		    type, get32(&l->head[ZBOOT_LENGTH]), get32(&l->head[ZBOOT_PAYLOAD]));
}

/* The file is no Image: says what it is, if that can be told. */
static void refuse_kind(struct loader *l)
{
	if (begins_with(l, ZBOOT_MAGIC, "zimg", 4) && l->head_length >= ZBOOT_END) {
		refuse_zboot(l);
		return;
	}
	if (begins_with(l, 0, "\177ELF", 4)) {
		boot_refuse(l,
			    "is an ELF file; use the kernel's raw Image (arch/arm64/boot/Image), "
			    "or make one of it with objcopy -O binary");
		return;
	}
	for (u32 i = 0; i < ARRAY_COUNT(packings); i++) {
		const struct packing *packing = &packings[i];

		if (begins_with(l, 0, packing->magic, packing->length)) {
			boot_refuse(l, "is packed with %s; unpack it and use the Image in it",
				    packing->name);
			return;
		}
	}
	boot_refuse(l, "is not a kernel that anew knows; use a raw Linux Image for arm64");
}

/* Whether the guest's CPU has pages of the size that the kernel says it is built for. */
static bool pages_ok(const struct image_request *request, u64 flags)
{
	u32 code = flags >> FLAGS_PAGE_SHIFT & FLAGS_PAGE_MASK;

	/* 0: says nothing. Then 4, 16, 64 KiB. */
	return code == 0 || request->page_sizes & KIB(1) << 2 * code;
}

/* Bytes that the file has to have, by its PE header; 0 where that can't be told. */
static u64 promised_size(const struct loader *l)
{
	u64 pe = get32(&l->head[PE_OFFSET]);
	u64 size = 0, section;
	u32 count;

	if (!begins_with(l, 0, "MZ", 2) || pe + PE_OPTIONAL > l->head_length ||
	    get32(&l->head[pe]) != PE_MAGIC)
		return 0;
	count = get16(&l->head[pe + PE_SECTION_COUNT]);
	section = pe + PE_OPTIONAL + get16(&l->head[pe + PE_OPTIONAL_SIZE]);
	for (; count > 0 && section + SECTION_SIZE <= l->head_length; count--) {
		const u8 *at = &l->head[section];

		size = max_u64(size,
			       (u64)get32(at + SECTION_RAW_AT) + get32(at + SECTION_RAW_SIZE));
		section += SECTION_SIZE;
	}
	return size;
}

static enum hv_error check_header(struct loader *l, const struct image_request *request)
{
	u64 flags = get64(&l->head[FLAGS]);
	u64 promised;

	if (l->head_length < HEADER_SIZE || get32(&l->head[MAGIC]) != MAGIC_VALUE) {
		refuse_kind(l);
		return HV_EUNSUPPORTED;
	}
	if (flags & FLAG_BIG_ENDIAN) {
		boot_refuse(l, "is a big-endian kernel; use a little-endian one");
		return HV_EUNSUPPORTED;
	}
	if (!pages_ok(request, flags)) {
		boot_refuse(l,
			    "is built for pages of %u KiB, which the VM's processor doesn't have; "
			    "use a kernel with pages of another size",
			    1u << 2 * (flags >> FLAGS_PAGE_SHIFT & FLAGS_PAGE_MASK));
		return HV_EUNSUPPORTED;
	}
	promised = promised_size(l);
	if (promised > l->kernel->size) {
		boot_refuse_cut(l, promised);
		return HV_ECORRUPT;
	}
	return HV_OK;
}

static u64 add(u64 a, u64 b)
{
	return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

/* The kernel's place: as close to the beginning of RAM as its header allows. */
static enum hv_error place_kernel(struct loader *l)
{
	const struct guest_range *ram = &l->ram[0];
	u64 size = get64(&l->head[IMAGE_SIZE]);
	u64 offset = size == 0 ? TEXT_OFFSET_OLD : get64(&l->head[TEXT_OFFSET]);
	u64 start = add(ALIGN_UP(ram->base, BASE_ALIGN), offset);
	/* What the file has beyond the kernel's own size, as a signature, is loaded with it. */
	u64 end = add(start, max_u64(size, l->kernel->size));

	if (end > ram->base + ram->length) {
		boot_refuse_end(l, end);
		return HV_ENO_SPACE;
	}
	l->kernel_start = start;
	l->kernel_end = end;
	return HV_OK;
}

/*
 * The devicetree: not across a multiple of 2 MiB, within what kernels of any age map, and out of
 * the way of kernels that don't say how big they are. Behind it, what EFI would have told.
 */
static enum hv_error write_fdt(struct loader *l, const struct image_request *request, u64 *place)
{
	struct fdt_machine booted = *request->machine;
	u64 base = ALIGN_UP(l->ram[0].base, BASE_ALIGN);
	u64 room = sizeof(l->piece) + (request->acpi ? EFI_AREA : 0);
	struct fdt_efi efi;
	size_t used;
	enum hv_error err = HV_OK;

	static_assert(offsetof(struct loader, piece) % 8 == 0, "libfdt writes aligned words");
	static_assert(sizeof(l->piece) == EFI_AREA && BASE_ALIGN % (2 * EFI_AREA) == 0,
		      "both are aligned, and neither crosses a multiple of 2 MiB");
	booted.initrd = (struct guest_range){l->initrd_start, l->initrd_end - l->initrd_start};
	*place = boot_place(l, room, room, base, base + FDT_WINDOW);
	if (*place == 0) {
		boot_refuse_end(l, max_u64(l->kernel_end, l->initrd_end) + room);
		return HV_ENO_SPACE;
	}
	if (request->acpi) {
		err = efi_build(&booted, l->mem, *place + sizeof(l->piece), &efi);
		booted.efi = &efi;
	}
	if (err == HV_OK)
		err = fdt_build(&booted, l->piece, sizeof(l->piece), &used);
	return err == HV_OK ? boot_write(l, *place, l->piece, used) : err;
}

static enum hv_error load(struct loader *l, const struct image_request *request,
			  struct image_entry *entry)
{
	const char *cmdline = request->machine->cmdline;
	u64 window;
	enum hv_error err = check_header(l, request);

	if (err == HV_OK)
		err = boot_check_cmdline(l, cmdline ? cmdline : "", CMDLINE_MAX);
	if (err == HV_OK)
		err = place_kernel(l);
	if (err != HV_OK)
		return err;
	window = ALIGN_DOWN(l->kernel_start, GIB(1));
	err = boot_load_initrd(l, window, window + INITRD_WINDOW);
	if (err == HV_OK)
		err = write_fdt(l, request, &entry->x0);
	if (err == HV_OK)
		err = boot_copy(l, l->kernel, 0, l->kernel_start, l->kernel->size);
	entry->pc = l->kernel_start;
	return err;
}

enum hv_error image_load(const struct image_request *request, struct image_entry *entry)
{
	const struct fdt_machine *machine = request->machine;
	struct loader *l = &the_loader;
	enum hv_error err;

	memset(entry, 0, sizeof(*entry));
	err = boot_begin(l, request->mem, request->kernel, request->initrd, machine->ram,
			 machine->ram_count);
	if (err != HV_OK)
		return err;
	if (machine->ram_count == 0 || machine->ram[0].length == 0) {
		boot_refuse_memory(l);
		return HV_EINVALID;
	}
	err = load(l, request, entry);
	if (err != HV_OK)
		memset(entry, 0, sizeof(*entry));
	return err;
}
