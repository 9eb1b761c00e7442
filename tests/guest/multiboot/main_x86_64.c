/* SPDX-License-Identifier: MIT */
/*
 * What a kernel gets that starts by multiboot 1, as the test's machine has it: 32 MiB of memory, a
 * command line, one module. Multiboot Specification 0.6.96, section 3.3.
 */
#include "payload.h"
#include <string.h>

#define ENTRY_MAGIC 0x2badb002

#define HAS_MEMORY  (1u << 0)
#define HAS_CMDLINE (1u << 2)
#define HAS_MODULES (1u << 3)
#define HAS_MEMMAP  (1u << 6)
#define HAS_LOADER  (1u << 9)

#define MEMORY    (32ull << 20)
#define TYPE_RAM  1
#define CMDLINE   "one two=three"
#define MODULE    "module.txt"
#define MODULE_IS "what a module is like\n"

struct information {
	uint32_t flags, memory_low, memory_high, boot_device, cmdline;
	uint32_t module_count, modules;
	uint32_t symbols[4];
	uint32_t memmap_length, memmap;
	uint32_t drives_length, drives, config_table, loader;
};

struct module {
	uint32_t start, end, name, reserved;
};

struct memmap_entry {
	uint32_t size; /* of what follows */
	uint64_t base, length;
	uint32_t type;
} __attribute__((packed));

extern uint32_t boot_eax, boot_ebx;

static const void *at(uint32_t address)
{
	return (const void *)(uintptr_t)address;
}

static void check_module(const struct information *info)
{
	const struct module *module = at(info->modules);
	uint32_t length = (uint32_t)strlen(MODULE_IS);

	report(info->module_count == 1, "there is one module (%u)", (unsigned)info->module_count);
	report(module->end - module->start == length, "it is as long as its file (%u bytes)",
	       (unsigned)(module->end - module->start));
	report(!memcmp(at(module->start), MODULE_IS, length), "it has what its file has");
	report(module->start % 4096 == 0, "it begins a page, as the header asks for");
	report(module->start >= 0x100000, "it is above the kernel's lower bound");
	report(!strcmp(at(module->name), MODULE), "it is called %s",
	       (const char *)at(module->name));
}

static void check_memmap(const struct information *info)
{
	uint64_t ram = 0, end = 0;
	uint32_t offset = 0;
	bool sorted = true;

	while (offset < info->memmap_length) {
		const struct memmap_entry *entry = at(info->memmap + offset);

		sorted &= entry->base >= end;
		end = entry->base + entry->length;
		if (entry->type == TYPE_RAM)
			ram += entry->length;
		offset += entry->size + 4;
	}
	report(offset == info->memmap_length, "the memory map ends where it says");
	report(sorted, "it is sorted, without overlaps");
	report(ram <= MEMORY && ram >= MEMORY - (1 << 20), "it has 32 MiB of RAM (%llu bytes)",
	       (unsigned long long)ram);
}

void payload_main(void)
{
	const uint32_t wanted = HAS_MEMORY | HAS_CMDLINE | HAS_MODULES | HAS_MEMMAP | HAS_LOADER;
	const struct information *info = at(boot_ebx);

	report(boot_eax == ENTRY_MAGIC, "EAX says multiboot (%08x)", (unsigned)boot_eax);
	report((info->flags & wanted) == wanted, "the information is all there (flags %x)",
	       (unsigned)info->flags);
	report(info->memory_low >= 600 && info->memory_low <= 640, "lower memory (%u KiB)",
	       (unsigned)info->memory_low);
	report(info->memory_high == (MEMORY >> 10) - 1024, "upper memory (%u KiB)",
	       (unsigned)info->memory_high);
	report(!strcmp(at(info->cmdline), CMDLINE), "the command line is '%s'",
	       (const char *)at(info->cmdline));
	report(!strcmp(at(info->loader), "anew"), "the loader is '%s'",
	       (const char *)at(info->loader));
	check_module(info);
	check_memmap(info);
}
