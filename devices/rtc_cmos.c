/* SPDX-License-Identifier: MIT */
#include <devices/rtc_cmos.h>

#include <string.h>

/* MC146818A data sheet, "Address Map". */
enum {
	REG_SECONDS = 0x00,
	REG_MINUTES = 0x02,
	REG_HOURS = 0x04,
	REG_WEEKDAY = 0x06, /* 1: Sunday */
	REG_DAY = 0x07,
	REG_MONTH = 0x08,
	REG_YEAR = 0x09,
	REG_A = 0x0a,
	REG_B = 0x0b,
	REG_C = 0x0c,
	REG_D = 0x0d,
	REG_CENTURY = 0x32,
};

#define A_UIP     0x80
#define A_DEFAULT 0x26 /* 32,768 Hz, 1,024 periodic interrupts a second */

#define B_SET    0x80
#define B_PIE    0x40
#define B_AIE    0x20
#define B_UIE    0x10
#define B_SQWE   0x08
#define B_BINARY 0x04
#define B_24H    0x02

#define D_VALID 0x80

#define HOUR_PM 0x80

/* "Update Cycle": time from the update-in-progress bit to the update. */
#define UPDATE_NS ((u64)244000)

#define DAY_SECONDS ((s64)86400)
#define EPOCH_DAYS  ((s64)719528) /* from the first day of the year 0 to that of 1970 */
#define OFFSET_MAX  (DAY_SECONDS * 366 * 10000)
#define CYCLE_DAYS  146097 /* the calendar repeats after 400 years */

static s64 year_start(s64 year)
{
	return 365 * year + (year + 3) / 4 - (year + 99) / 100 + (year + 399) / 400;
}

static bool is_leap(s64 year)
{
	return year_start(year + 1) - year_start(year) == 366;
}

static u8 month_days(s64 year, u32 month)
{
	static const u8 days[12] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};

	return month == 2 && is_leap(year) ? 29 : days[month - 1];
}

static u8 encode(const struct rtc_cmos *rtc, s64 value)
{
	if (rtc->regs[REG_B] & B_BINARY)
		return (u8)value;
	return (u8)(value / 10 << 4 | value % 10);
}

/* @value, not more than @max whatever the guest wrote. */
static u32 decode(const struct rtc_cmos *rtc, u8 value, u32 max)
{
	u32 number = value;

	if (!(rtc->regs[REG_B] & B_BINARY))
		number = (u32)(value >> 4) * 10 + (value & 15);
	return number < max ? number : max;
}

/* The machine's time, in seconds since the first day of the year 0. */
static s64 now_seconds(const struct rtc_cmos *rtc)
{
	return EPOCH_DAYS * DAY_SECONDS + (s64)(clock_wall(rtc->clock) / NS_PER_SEC);
}

/* Brings the time registers up to date. */
static void refresh(struct rtc_cmos *rtc)
{
	s64 seconds = rtc->offset + now_seconds(rtc);
	s64 days, year, hour;
	u32 month = 1;

	if (rtc->regs[REG_B] & B_SET)
		return;
	if (seconds < 0)
		seconds = 0;
	days = seconds / DAY_SECONDS;
	seconds %= DAY_SECONDS;
	/* Sunday was the second day of the year 0. */
	rtc->regs[REG_WEEKDAY] = encode(rtc, (days + 6) % 7 + 1);
	year = days * 400 / CYCLE_DAYS;
	while (year_start(year + 1) <= days)
		year++;
	while (year_start(year) > days)
		year--;
	days -= year_start(year);
	while (days >= month_days(year, month))
		days -= month_days(year, month++);
	hour = seconds / 3600;
	rtc->regs[REG_SECONDS] = encode(rtc, seconds % 60);
	rtc->regs[REG_MINUTES] = encode(rtc, seconds / 60 % 60);
	if (rtc->regs[REG_B] & B_24H)
		rtc->regs[REG_HOURS] = encode(rtc, hour);
	else
		rtc->regs[REG_HOURS] =
			(u8)(encode(rtc, (hour + 11) % 12 + 1) | (hour >= 12 ? HOUR_PM : 0));
	rtc->regs[REG_DAY] = encode(rtc, days + 1);
	rtc->regs[REG_MONTH] = encode(rtc, month);
	rtc->regs[REG_YEAR] = encode(rtc, year % 100);
	rtc->regs[REG_CENTURY] = encode(rtc, year / 100 % 100);
}

/* Makes the time registers the time of day. */
static void commit(struct rtc_cmos *rtc)
{
	const u8 *regs = rtc->regs;
	s64 year = (s64)decode(rtc, regs[REG_CENTURY], 99) * 100 + decode(rtc, regs[REG_YEAR], 99);
	u32 month = decode(rtc, regs[REG_MONTH], 12);
	u32 day = decode(rtc, regs[REG_DAY], 31);
	u32 hour, minute = decode(rtc, regs[REG_MINUTES], 59);
	s64 days;

	if (regs[REG_B] & B_24H)
		hour = decode(rtc, regs[REG_HOURS], 23);
	else
		hour = decode(rtc, regs[REG_HOURS] & ~HOUR_PM & 0xff, 12) % 12 +
		       (regs[REG_HOURS] & HOUR_PM ? 12 : 0);
	month = month ? month : 1;
	day = day ? day : 1;
	if (day > month_days(year, month))
		day = month_days(year, month);
	days = year_start(year) + day - 1;
	while (--month)
		days += month_days(year, month);
	rtc->offset = days * DAY_SECONDS + hour * 3600 + minute * 60 +
		      decode(rtc, regs[REG_SECONDS], 59) - now_seconds(rtc);
}

static bool is_time(u8 index)
{
	switch (index) {
	case REG_SECONDS:
	case REG_MINUTES:
	case REG_HOURS:
	case REG_WEEKDAY:
	case REG_DAY:
	case REG_MONTH:
	case REG_YEAR:
	case REG_CENTURY:
		return true;
	default:
		return false;
	}
}

static u8 read_data(struct rtc_cmos *rtc)
{
	bool set = rtc->regs[REG_B] & B_SET;

	if (is_time(rtc->index))
		refresh(rtc);
	switch (rtc->index) {
	case REG_A:
		if (!set && clock_wall(rtc->clock) % NS_PER_SEC >= NS_PER_SEC - UPDATE_NS)
			return rtc->regs[REG_A] | A_UIP;
		return rtc->regs[REG_A];
	case REG_C:
		return 0;
	case REG_D:
		return D_VALID;
	default:
		return rtc->regs[rtc->index];
	}
}

static void write_data(struct rtc_cmos *rtc, u8 value)
{
	bool set = rtc->regs[REG_B] & B_SET;

	switch (rtc->index) {
	case REG_A:
		rtc->regs[REG_A] = value & ~A_UIP & 0xff;
		break;
	case REG_B:
		refresh(rtc);
		rtc->regs[REG_B] = value;
		if (set && !(value & B_SET))
			commit(rtc);
		break;
	case REG_C:
	case REG_D:
		break;
	default:
		if (!is_time(rtc->index)) {
			rtc->regs[rtc->index] = value;
			break;
		}
		refresh(rtc);
		rtc->regs[rtc->index] = value;
		if (!set)
			commit(rtc);
		break;
	}
}

enum io_result rtc_cmos_io(void *ctx, struct io_access *access)
{
	struct rtc_cmos *rtc = ctx;

	if (access->offset & 1) {
		if (access->is_write)
			write_data(rtc, (u8)access->value);
		else
			access->value = read_data(rtc);
	} else if (access->is_write) {
		/* Bit 7 masks the NMI of a PC, which this machine hasn't got. */
		rtc->index = access->value & (RTC_CMOS_BYTES - 1);
	} else {
		access->value = 0xff;
	}
	return IO_DONE;
}

void rtc_cmos_reset(struct rtc_cmos *rtc)
{
	rtc->regs[REG_B] &= (u8) ~(B_PIE | B_AIE | B_UIE | B_SQWE);
	rtc->index = 0;
}

void rtc_cmos_init(struct rtc_cmos *rtc, struct clock *clock)
{
	memset(rtc, 0, sizeof(*rtc));
	rtc->clock = clock;
	rtc->regs[REG_A] = A_DEFAULT;
	rtc->regs[REG_B] = B_24H;
	rtc_cmos_reset(rtc);
}

static enum hv_error check(const void *obj, const char **why)
{
	const struct rtc_cmos *rtc = obj;

	if (rtc->offset > OFFSET_MAX || rtc->offset < -OFFSET_MAX) {
		*why = "the time of day is out of range";
		return HV_EINVALID;
	}
	if (rtc->index >= RTC_CMOS_BYTES || rtc->regs[REG_A] & A_UIP) {
		*why = "a register has bits that do not exist";
		return HV_EINVALID;
	}
	return HV_OK;
}

#define RTC_CMOS_FIELDS(SAVED, TRANSIENT)                                                          \
	SAVED(struct rtc_cmos, offset)                                                             \
	SAVED(struct rtc_cmos, regs)                                                               \
	SAVED(struct rtc_cmos, index)                                                              \
	TRANSIENT(struct rtc_cmos, pad, "padding")                                                 \
	TRANSIENT(struct rtc_cmos, clock, "wiring")

STATE_DEFINE(rtc_cmos_state, "rtc_cmos", 1, struct rtc_cmos, RTC_CMOS_FIELDS, .check = check);
