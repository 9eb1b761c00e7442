/* SPDX-License-Identifier: MIT */
/*
 * What anew wrote into this guest's memory, as it is seen with the MMU off, past all caches:
 * devicetree, boot arguments, initrd, generation id. Prints them, for whoever knows what they
 * should be. With "watch" among the boot arguments it then waits for a new id.
 */
#include "payload.h"

#include <libfdt.h>
#include <string.h>

#define VMGENID_ALIGN 0x10000u
/* An entry of the table of level 1 that nothing else uses. */
#define ENTRY_NORMAL 16u

bool payload_mmu_off = true;

/* A number of @cells cells that begins at *@p; moves *@p past it. */
static uint64_t take(const fdt32_t **p, int cells)
{
	uint64_t value = 0;

	while (cells-- > 0)
		value = value << 32 | fdt32_to_cpu(*(*p)++);
	return value;
}

static uint64_t get_number(int node, const char *name)
{
	int length;
	const fdt32_t *value = fdt_getprop(payload_dtb, node, name, &length);

	return value ? take(&value, length / 4) : 0;
}

/* The first address and length in the `reg` of a node at the root. */
static bool get_reg(int node, uint64_t *address, uint64_t *length)
{
	int size_of_reg;
	int address_cells = (int)get_number(0, "#address-cells");
	int size_cells = (int)get_number(0, "#size-cells");
	const fdt32_t *reg = fdt_getprop(payload_dtb, node, "reg", &size_of_reg);

	if (!reg || size_of_reg < 4 * (address_cells + size_cells))
		return false;
	*address = take(&reg, address_cells);
	*length = take(&reg, size_cells);
	return true;
}

static void print_id(const char *what, const uint8_t *id)
{
	/* The order in which a GUID is written: its first three numbers are little-endian. */
	static const uint8_t order[16] = {3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15};
	char text[37];
	char *p = text;

	for (int i = 0; i < 16; i++) {
		if (i == 4 || i == 6 || i == 8 || i == 10)
			*p++ = '-';
		*p++ = "0123456789abcdef"[id[order[i]] >> 4];
		*p++ = "0123456789abcdef"[id[order[i]] & 15];
	}
	*p = 0;
	print("%s: %s\n", what, text);
}

static void read_id(uint64_t address, uint8_t id[16])
{
	uint64_t words[2] = {mmio_read64(address), mmio_read64(address + 8)};

	memcpy(id, words, sizeof(words));
}

static bool is_zero(const uint8_t *bytes, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (bytes[i])
			return false;
	return true;
}

static void check_chosen(int chosen)
{
	uint64_t initrd = get_number(chosen, "linux,initrd-start");
	uint64_t end = get_number(chosen, "linux,initrd-end");
	const char *arguments = fdt_getprop(payload_dtb, chosen, "bootargs", NULL);
	char line[64];
	int length;
	const uint8_t *seed = fdt_getprop(payload_dtb, chosen, "rng-seed", &length);

	print("bootargs: %s\n", arguments ? arguments : "");
	if (initrd) {
		size_t count = 0;

		report(initrd >= RAM_BASE && initrd < end, "the initrd is in memory");
		while (count < sizeof(line) - 1 && initrd + count < end &&
		       ((char *)initrd)[count] != '\n')
			count++;
		memcpy(line, (char *)initrd, count);
		line[count] = 0;
		print("initrd: %u bytes, %s\n", (unsigned int)(end - initrd), line);
	}
	report(seed && length >= 32 && !is_zero(seed, (size_t)length), "there is a seed");
}

/* Waits for an id that isn't @old, with the MMU off again. */
static void watch(uint64_t address, uint8_t id[16])
{
	uint8_t old[16];

	memcpy(old, id, sizeof(old));
	sysreg_write("sctlr_el1", sysreg_read("sctlr_el1") & ~(uint64_t)0x1005);
	print("payload: watching the id\n");
	do
		read_id(address, id);
	while (!memcmp(id, old, sizeof(old)));
	print_id("new id", id);
}

static void check_id(uint64_t ram_end, bool watching)
{
	int node = fdt_node_offset_by_compatible(payload_dtb, -1, "microsoft,vmgenid");
	uint8_t off[16], device[16], normal[16];
	uint64_t address, length;

	if (node < 0) {
		payload_skip("no generation id: the devicetree has none");
		return;
	}
	if (!get_reg(node, &address, &length)) {
		report(false, "the generation id has an address");
		return;
	}
	report(length >= 16 && address % VMGENID_ALIGN == 0, "the generation id has its own page");
	report(address + length <= RAM_BASE || address >= ram_end, "outside of memory");
	read_id(address, off);
	print_id("id", off);
	report(!is_zero(off, sizeof(off)), "it isn't zero");
	mmu_on();
	read_id(address, device);
	mmu_set(ENTRY_NORMAL, (address >> 30 << 30) | MMU_NORMAL | MMU_NEVER_EXEC);
	read_id(((uint64_t)ENTRY_NORMAL << 30) + (address & 0x3fffffff), normal);
	report(!memcmp(off, device, sizeof(off)), "the same as a device's memory");
	report(!memcmp(off, normal, sizeof(off)), "and through the caches");
	if (watching)
		watch(address, off);
}

void payload_main(void)
{
	uint64_t ram = 0, ram_size = 0;
	const char *arguments;
	int chosen;

	report(!(sysreg_read("sctlr_el1") & 1), "the MMU is off");
	report((uint64_t)payload_dtb % 8 == 0, "x0 is aligned");
	if (fdt_check_header(payload_dtb)) {
		report(false, "x0 points to a devicetree");
		return;
	}
	report(fdt_totalsize(payload_dtb) <= 0x200000, "the devicetree is at most 2 MiB long");
	report(get_reg(fdt_subnode_offset_namelen(payload_dtb, 0, "memory", 6), &ram, &ram_size) &&
		       ram == RAM_BASE && ram_size,
	       "memory begins at 1 GiB");
	print("memory: %u MiB\n", (unsigned int)(ram_size >> 20));
	report((uint64_t)payload_dtb >= ram &&
		       (uint64_t)payload_dtb + fdt_totalsize(payload_dtb) <= ram + ram_size,
	       "the devicetree is in it");
	chosen = fdt_path_offset(payload_dtb, "/chosen");
	if (chosen < 0) {
		report(false, "there is a node /chosen");
		return;
	}
	check_chosen(chosen);
	arguments = fdt_getprop(payload_dtb, chosen, "bootargs", NULL);
	check_id(ram + ram_size, arguments && strstr(arguments, "watch"));
}
