/* SPDX-License-Identifier: MIT */
/*
 * Loads a kernel for x86_64 the way its own boot loader would: Linux (64-bit boot protocol), ELF
 * with a PVH entry, ELF or flat with a multiboot header. Files are not trusted.
 */
#ifndef GUEST_BOOT_X86_H
#define GUEST_BOOT_X86_H

#include <guest/boot.h>
#include <guest/e820.h>
#include <hv/mem.h>

/* Guest memory that boot_x86_load() itself fills; must be RAM, and kernels can't be loaded there.
 */
#define BOOT_AREA_BASE 0x1000
#define BOOT_AREA_END  0x22000

#define BOOT_CMDLINE_MAX  0xffff /* bytes without the 0 at the end */
#define BOOT_RNG_SEED_MAX 512    /* bytes */

/* Everything belongs to the caller and is only used during the call. */
struct boot_x86_request {
	const struct guest_mem *mem;
	u64 low_ram_top; /* end of the RAM below 4 GiB that may be filled */
	const struct e820_map *e820;
	gpa_t rsdp; /* 0: none */
	const struct boot_file *kernel;
	const struct boot_file *initrd; /* NULL: none */
	const char *cmdline;            /* NULL: empty */
	const u8 *rng_seed;             /* for kernels that can take one; NULL: none */
	size_t rng_seed_length;
};

enum boot_x86_mode {
	BOOT_X86_LONG64,      /* long mode, paging on with cr3, 64-bit code */
	BOOT_X86_PROTECTED32, /* protected mode, paging off, 32-bit code */
};

#define BOOT_CODE_SELECTOR 0x10
#define BOOT_DATA_SELECTOR 0x18

/*
 * The state to start the first virtual CPU with: flat segments with the selectors above, which are
 * in the GDT as well; interrupts off; registers that are not named here 0.
 */
struct boot_x86_entry {
	enum boot_x86_mode mode;
	u64 rip;
	u64 rsp;
	u64 rsi;
	u64 rbx;
	u64 rax;
	u64 cr3; /* BOOT_X86_LONG64 only: maps 0 to 4 GiB to itself */
	u64 gdt_base;
	u32 gdt_limit;
	const char *protocol; /* "Linux", "PVH", "multiboot" */
};

/*
 * Loads @request->kernel and the initrd, and fills @entry (zeroed on failure). Whatever is wrong is
 * told in one log_error() line: HV_ECORRUPT damaged, HV_EUNSUPPORTED no kernel or one of another
 * kind, HV_ENO_SPACE does not fit, HV_EINVALID wrong request, or what reading or writing said.
 * Guest memory may have been written by then. Uses static buffers: one call at a time.
 */
HV_MUST_CHECK enum hv_error boot_x86_load(const struct boot_x86_request *request,
					  struct boot_x86_entry *entry);

#endif
