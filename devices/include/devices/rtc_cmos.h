/* SPDX-License-Identifier: MIT */
/*
 * The clock and the battery-backed bytes of a PC: an MC146818 with 128 bytes and the century at
 * 0x32 (Motorola MC146818A data sheet; ACPI names the century's place in the FADT).
 *
 * The time of day is the machine's (clock_wall()), and what the guest made of it by setting it; so
 * it goes on while the guest is a snapshot, as it does while a PC is off. The day of the week
 * follows from the date. There are no interrupts: register C reads 0, alarms are only bytes. The
 * update-in-progress bit is set for the last 244 microseconds of each second, as the data sheet has
 * it, so that a guest can read a time that does not change under its hands.
 *
 * Register the handler for RTC_CMOS_PORTS ports at 0x70, accesses of one byte.
 */
#ifndef DEVICES_RTC_CMOS_H
#define DEVICES_RTC_CMOS_H

#include <hv/clock.h>
#include <hv/io.h>
#include <hv/state.h>

#define RTC_CMOS_PORTS 2
#define RTC_CMOS_BYTES 128

/* All of it belongs to whoever runs the VM's virtual CPU. */
struct rtc_cmos {
	s64 offset;              /* seconds that the guest has set it ahead of the machine's time */
	u8 regs[RTC_CMOS_BYTES]; /* time registers: only kept up while register B.SET is on */
	u8 index;
	u8 pad[7];
	struct clock *clock;
};

extern const struct state_desc rtc_cmos_state;

/* @clock must outlive the device. */
void rtc_cmos_init(struct rtc_cmos *rtc, struct clock *clock);

/* The reset pin: interrupts off. Time and bytes stay. */
void rtc_cmos_reset(struct rtc_cmos *rtc);

/* io_handler of struct rtc_cmos. */
enum io_result rtc_cmos_io(void *rtc, struct io_access *access);

#endif
