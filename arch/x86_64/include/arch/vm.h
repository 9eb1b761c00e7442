/* SPDX-License-Identifier: MIT */
/* The x86_64 machine: where its devices are, and their state. */
#ifndef ARCH_VM_H
#define ARCH_VM_H

#include <devices/pit.h>
#include <devices/power.h>
#include <devices/rtc_cmos.h>
#include <devices/testdev.h>
#include <devices/uart_16550.h>
#include <devices/vapic.h>
#include <devices/vioapic.h>
#include <devices/vmclock.h>
#include <devices/vmgenid.h>
#include <hv/types.h>

#define APIC_BUS_HZ ((u64)1000000000)

#define LAPIC_BASE  ((u64)0xfee00000)
#define IOAPIC_BASE ((u64)0xfec00000)
/* Where the resource allocator places memory of devices, and where it ends. */
#define DEVICE_MEMORY_BASE ((u64)0xfe000000)
#define DEVICE_MEMORY_END  ((u64)0xfe800000)
#define TESTDEV_BASE       ((u64)0xfe900000)
/* RAM below 4 GiB ends here at the latest; more goes above 4 GiB. */
#define LOW_RAM_END ((u64)0xc0000000)
/* RSDP and tables, where a scan finds them. ACPI 6.5 section 5.2.5.1. */
#define ACPI_TABLES_BASE ((u64)0xe0000)
#define ACPI_TABLES_ROOM ((u64)0x1fff0)
#define RESET_VECTOR     ((u64)0xffff0) /* F000:FFF0 */
#define EBDA_BASE        ((u64)0x9fc00)

#define PORT_PIT           0x40u
#define PORT_KEYBOARD      0x64u
#define PORT_SYSTEM        0x61u
#define PORT_RTC           0x70u
#define PORT_COM1          0x3f8u
#define PORT_SLEEP_CONTROL 0x600u
#define PORT_SLEEP_STATUS  0x601u
#define PORT_RESET         0x602u
#define PORT_TEST_EXIT     0xf4u
#define PORT_TEST_PUTC     0xe9u

#define PIN_PIT         2u
#define PIN_COM1        4u
#define PIN_DEVICE_BASE 16u /* lines that the resource allocator gives out, to 23 */
#define PIN_DEVICE_END  24u

struct vm_arch {
	struct vapic_bus apics;
	struct vioapic ioapic;
	struct uart_16550 uart;
	struct pit pit;
	struct rtc_cmos rtc;
	struct power power;
	struct testdev testdev;
	struct vmgenid genid;
	struct vmclock vmclock;
};

#endif
