/* SPDX-License-Identifier: MIT */
/*
 * What of EFI a guest on arm64 gets to see, as Linux finds ACPI by it alone there: a system table
 * without services, the configuration tables, and the map of memory (UEFI specification 2.10).
 */
#ifndef GUEST_EFI_H
#define GUEST_EFI_H

#include <guest/fdt.h>
#include <hv/mem.h>

/* Of RAM, from a multiple of itself: no page of any size that a guest may use has more in it. */
#define EFI_AREA KIB(64)

/*
 * Writes EFI's tables, and the ACPI tables of @machine, to the EFI_AREA bytes of RAM at @base;
 * *@efi is where they are. HV_EINVALID, HV_ENO_SPACE or what guest_write() says; each is told in a
 * log line.
 */
HV_MUST_CHECK enum hv_error efi_build(const struct fdt_machine *machine,
				      const struct guest_mem *mem, u64 base, struct fdt_efi *efi);

#endif
