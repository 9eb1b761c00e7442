/* SPDX-License-Identifier: MIT */
/* The arm64 machine: where its devices are, and their state. */
#ifndef ARCH_VM_H
#define ARCH_VM_H

#include <devices/testdev.h>
#include <devices/uart_pl011.h>
#include <devices/vgic.h>
#include <devices/vmclock.h>
#include <devices/vmgenid.h>
#include <hv/types.h>

#define GICD_BASE    ((u64)0x08000000)
#define GICC_BASE    ((u64)0x08010000) /* GICv2 */
#define GICR_BASE    ((u64)0x080a0000) /* GICv3 */
#define UART_BASE    ((u64)0x09000000)
#define TESTDEV_BASE ((u64)0x09010000)
/* Where the resource allocator places memory of devices, and where it ends. */
#define DEVICE_MEMORY_BASE ((u64)0x0a000000)
#define DEVICE_MEMORY_END  ((u64)0x0b000000)
/* Memory for one device alone: no page of any size that a guest may use holds another. */
#define DEVICE_PAGE KIB(64)
#define RAM_BASE    GIB(1)
/* The guest's physical addresses have 36 bits: see IPA_BITS in stage2.c. */
#define RAM_END GIB(64)

/* GICv2: GICC, a page that is the hardware's, and one with GICC_DIR, which is emulated. */
#define VGIC_V2_CPU_SIZE KIB(8)
#define VGIC_V2_DIR_PAGE KIB(4) /* offset */

#define INTID_UART        33u
#define INTID_DEVICE_BASE 48u /* lines that the resource allocator gives out */
#define INTID_DEVICE_END  VGIC_LINES

/* What the guest is told of its machine by, from its next reset on. */
struct arm64_firmware {
	u32 kind; /* FIRMWARE_FDT, FIRMWARE_ACPI */
};

struct vm_arch {
	struct vgic gic;
	struct uart_pl011 uart;
	struct testdev testdev;
	struct vmgenid genid;
	struct vmclock vmclock;
	struct arm64_firmware firmware;
	u32 vmid; /* [c] */
};

#endif
