/* SPDX-License-Identifier: MIT */
/* An interrupt of anew's own that comes while the firmware has the processor. */
#include "uefi.h"

#include <internal/host.h>

/* EmbeddedPkg of edk2, Protocol/HardwareInterrupt.h: firmware for Arm has it. */
#define HARDWARE_INTERRUPT_GUID                                                                    \
	{                                                                                          \
		0x2890b3ea, 0x053d, 0x1643,                                                        \
		{                                                                                  \
			0xad, 0x0c, 0xd6, 0x48, 0x08, 0xda, 0x3f, 0xf1                             \
		}                                                                                  \
	}

struct hardware_interrupt {
	/* Enables @source as well; without a @handler, disables it. */
	EFI_STATUS(EFIAPI *register_source)
	(struct hardware_interrupt *self, UINTN source, void *handler);
	EFI_STATUS(EFIAPI *enable)(struct hardware_interrupt *self, UINTN source);
	EFI_STATUS(EFIAPI *disable)(struct hardware_interrupt *self, UINTN source);
	EFI_STATUS(EFIAPI *get_state)
	(struct hardware_interrupt *self, UINTN source, BOOLEAN *enabled);
	EFI_STATUS(EFIAPI *end)(struct hardware_interrupt *self, UINTN source);
};

static const EFI_GUID hardware_interrupt_guid = HARDWARE_INTERRUPT_GUID;

static struct hardware_interrupt *controller;

/* Called in interrupt context by the firmware; that it came is all. */
static void EFIAPI ended(UINTN source, void *context)
{
	(void)context;
	controller->end(controller, source);
}

bool host_interrupt_take(u32 number)
{
	UEFI_CHECK_CONTEXT();
	controller = uefi_locate(&hardware_interrupt_guid);
	return controller &&
	       !EFI_ERROR(controller->register_source(controller, number, (void *)ended));
}

void host_interrupt_return(u32 number)
{
	UEFI_CHECK_CONTEXT();
	controller->disable(controller, number);
	controller->register_source(controller, number, NULL);
}
