/* SPDX-License-Identifier: MIT */
/*
 * The clock and the battery-backed bytes of a PC: an MC146818 with 128 bytes and the century at
 * 0x32 (Motorola MC146818A data sheet; ACPI names the century's place in the FADT).
 *
 * The time of day is a number of seconds at guest time 0, plus guest time; the guest may set it.
 * The day of the week follows from the date. There are no interrupts: register C reads 0, alarms
 * are only bytes. The update-in-progress bit is set for the last 244 microseconds of each second,
 * as the data sheet has it, so that a guest can read a time that does not change under its hands.
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
	s64 base;                /* seconds since the first day of the year 0, at guest time 0 */
	u8 regs[RTC_CMOS_BYTES]; /* time registers: only kept up while register B.SET is on */
	u8 index;
	u8 pad[7];
	struct clock *clock;
};

extern const struct state_desc rtc_cmos_state;

/* @wall: seconds since 1970 (UTC) when guest time is 0. @clock must outlive the device. */
void rtc_cmos_init(struct rtc_cmos *rtc, struct clock *clock, u64 wall);

/* The reset pin: interrupts off. Time and bytes stay. */
void rtc_cmos_reset(struct rtc_cmos *rtc);

/* io_handler of struct rtc_cmos. */
enum io_result rtc_cmos_io(void *rtc, struct io_access *access);

#endif
