/* SPDX-License-Identifier: MIT */
/*
 * Loads a Linux kernel for arm64 as its boot protocol says: Documentation/arch/arm64/booting.rst.
 * Files are not trusted.
 */
#ifndef GUEST_IMAGE_H
#define GUEST_IMAGE_H

#include <guest/boot.h>
#include <guest/fdt.h>

/* Everything belongs to the caller and is only used during the call. */
struct image_request {
	const struct guest_mem *mem;
	const struct boot_file *kernel;
	const struct boot_file *initrd; /* NULL: none */
	/* The command line and the seed are in it; where the initrd is gets filled in here. */
	const struct fdt_machine *machine;
	/* The guest is told of its machine by ACPI, and the devicetree says only where that is. */
	bool acpi;
	/* Sizes of pages that the guest's CPU has, one ORed to the other: KIB(4) | KIB(64). */
	u64 page_sizes;
};

/*
 * The state to start the first virtual CPU with: EL1 with SP_EL1 (EL1h), MMU off, D, A, I and F
 * masked; registers that are not named here 0.
 */
struct image_entry {
	u64 pc;
	u64 x0; /* the devicetree */
};

/*
 * Loads kernel and initrd into machine->ram[0], writes the devicetree there, and fills @entry
 * (zeroed on failure). Whatever is wrong is told in one log_error() line: HV_ECORRUPT damaged,
 * HV_EUNSUPPORTED no kernel or one of another kind, HV_ENO_SPACE does not fit, HV_ETOO_BIG command
 * line too long, HV_EINVALID wrong request, or what reading or writing said. Guest memory may have
 * been written by then. Uses static buffers: one call at a time.
 */
HV_MUST_CHECK enum hv_error image_load(const struct image_request *request,
				       struct image_entry *entry);

#endif
