/* SPDX-License-Identifier: MIT */
/* Where the firmware starts anew, and where it gets everything back. */
#include "uefi.h"

#include <hv/log.h>
#include <internal/arch.h>
#include <internal/host.h>

#include <stdio.h>
#include <string.h>

/* UEFI 2.10, section 4.6: ACPI 2.0 and later; the flattened devicetree. */
#define ACPI_GUID                                                                                  \
	{                                                                                          \
		0x8868e871, 0xe4f1, 0x11d3,                                                        \
		{                                                                                  \
			0xbc, 0x22, 0x00, 0x80, 0xc7, 0x3c, 0x88, 0x81                             \
		}                                                                                  \
	}
#define FDT_GUID                                                                                   \
	{                                                                                          \
		0xb1b621d5, 0xf19c, 0x41a5,                                                        \
		{                                                                                  \
			0x83, 0x0b, 0xd9, 0x15, 0x2c, 0x69, 0xaa, 0xe0                             \
		}                                                                                  \
	}

/* What the boot manager sets before it starts an image: UEFI 2.10, section 3.1.2. */
#define WATCHDOG_SECONDS 300

/* The linker's, at address 0: see efi.lds. */
extern const u8 ImageBase[];

EFI_HANDLE uefi_image;
EFI_SYSTEM_TABLE *uefi_st;
EFI_BOOT_SERVICES *uefi_bs;
bool host_context_firmware = true;

void *uefi_protocol(EFI_HANDLE handle, const EFI_GUID *guid)
{
	EFI_GUID copy = *guid;
	void *interface = NULL;

	if (EFI_ERROR(uefi_bs->HandleProtocol(handle, &copy, &interface)))
		return NULL;
	return interface;
}

void *uefi_locate(const EFI_GUID *guid)
{
	EFI_GUID copy = *guid;
	void *interface = NULL;

	if (EFI_ERROR(uefi_bs->LocateProtocol(&copy, NULL, &interface)))
		return NULL;
	return interface;
}

size_t uefi_handles(const EFI_GUID *guid, EFI_HANDLE **handles)
{
	EFI_GUID copy = *guid;
	UINTN count = 0;

	*handles = NULL;
	if (EFI_ERROR(uefi_bs->LocateHandleBuffer(ByProtocol, &copy, NULL, &count, handles)))
		return 0;
	return count;
}

static const void *config_table(const EFI_GUID *guid)
{
	for (UINTN i = 0; i < uefi_st->NumberOfTableEntries; i++)
		if (!memcmp(&uefi_st->ConfigurationTable[i].VendorGuid, guid, sizeof(*guid)))
			return uefi_st->ConfigurationTable[i].VendorTable;
	return NULL;
}

const void *host_acpi_rsdp(void)
{
	static const EFI_GUID guid = ACPI_GUID;

	UEFI_CHECK_CONTEXT();
	return config_table(&guid);
}

const void *host_fdt(void)
{
	static const EFI_GUID guid = FDT_GUID;

	UEFI_CHECK_CONTEXT();
	return config_table(&guid);
}

void uefi_check_context(const char *function)
{
	if (!arch_on_boot_cpu())
		panic("%s() called on another processor than the boot one", function);
	if (host_context_firmware)
		return;
	/* The message itself has to get out, through this same check. */
	host_context_firmware = true;
	panic("%s() called outside firmware context", function);
}

const char *host_name(void)
{
	static char name[96];
	char vendor[64];
	size_t i = 0;

	UEFI_CHECK_CONTEXT();
	if (uefi_st->FirmwareVendor) {
		for (; i < sizeof(vendor) - 1 && uefi_st->FirmwareVendor[i]; i++) {
			CHAR16 c = uefi_st->FirmwareVendor[i];

			vendor[i] = c >= ' ' && c < 0x7f ? (char)c : '?';
		}
	}
	vendor[i] = '\0';
	snprintf(name, sizeof(name), "%s %x.%04x, UEFI %u.%u", i ? vendor : "unknown firmware",
		 uefi_st->FirmwareRevision >> 16, uefi_st->FirmwareRevision & 0xffff,
		 uefi_st->Hdr.Revision >> 16, (uefi_st->Hdr.Revision & 0xffff) / 10);
	return name;
}

/* UEFI 2.10, section 9.1: LoadOptions may be anything; a shell has its command line there. */
bool host_option(const char *word)
{
	static const EFI_GUID guid = EFI_LOADED_IMAGE_PROTOCOL_GUID;
	const EFI_LOADED_IMAGE_PROTOCOL *image = uefi_protocol(uefi_image, &guid);
	const CHAR16 *text = image ? image->LoadOptions : NULL;
	size_t length = text ? image->LoadOptionsSize / sizeof(*text) : 0;
	size_t matched = 0;
	bool matches = true;

	UEFI_CHECK_CONTEXT();
	for (size_t i = 0; i <= length; i++) {
		CHAR16 c = i < length ? text[i] : 0;

		if (c > ' ') {
			matches = matches && word[matched] && c == (u8)word[matched];
			matched += matches;
			continue;
		}
		if (matches && matched && !word[matched])
			return true;
		matched = 0;
		matches = true;
	}
	return false;
}

u64 host_image_base(void)
{
	return (u64)(uintptr_t)ImageBase;
}

EFI_STATUS efi_main(EFI_HANDLE image, EFI_SYSTEM_TABLE *system_table)
{
	EFI_STATUS status = EFI_OUT_OF_RESOURCES;

	uefi_image = image;
	uefi_st = system_table;
	uefi_bs = system_table->BootServices;
	uefi_bs->SetWatchdogTimer(0, 0, 0, NULL);

	if (libc_init() == HV_OK) {
		console_init();
		time_init();
		status = anew_main() == 0 ? EFI_SUCCESS : EFI_ABORTED;
		time_fini();
		files_fini();
		console_fini();
	}
	memory_fini();
	uefi_bs->SetWatchdogTimer(WATCHDOG_SECONDS, 0, 0, NULL);
	/*
	 * Not just a return: the start-up code doesn't keep RDI and RSI, which the firmware's
	 * calling convention wants kept. Exit() restores all that StartImage() had.
	 */
	uefi_bs->Exit(image, status, 0, NULL);
	return status;
}
