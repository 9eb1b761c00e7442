/* SPDX-License-Identifier: MIT */
/* The firmware's clock and its tick, which is what wakes an idle anew. */
#include "uefi.h"

#include <internal/host.h>

/* PI 1.8, volume 2, section 12.11: timer architectural protocol. Periods in units of 100 ns. */
#define TIMER_ARCH_GUID                                                                            \
	{                                                                                          \
		0x26baccb3, 0x6f42, 0x11d4,                                                        \
		{                                                                                  \
			0xbc, 0xe7, 0x00, 0x80, 0xc7, 0x3c, 0x88, 0x81                             \
		}                                                                                  \
	}

struct timer_arch {
	EFI_STATUS(EFIAPI *register_handler)(struct timer_arch *self, void *handler);
	EFI_STATUS(EFIAPI *set_period)(struct timer_arch *self, UINT64 period);
	EFI_STATUS(EFIAPI *get_period)(struct timer_arch *self, UINT64 *period);
	EFI_STATUS(EFIAPI *generate_soft_interrupt)(struct timer_arch *self);
};

#define TICK_PERIOD 10000 /* 1 ms */

static const EFI_GUID timer_arch_guid = TIMER_ARCH_GUID;

static struct timer_arch *tick; /* NULL when the firmware's period was left as it is */
static UINT64 tick_before;

void time_init(void)
{
	tick = uefi_locate(&timer_arch_guid);
	if (!tick)
		return;
	if (EFI_ERROR(tick->get_period(tick, &tick_before)) || tick_before <= TICK_PERIOD ||
	    EFI_ERROR(tick->set_period(tick, TICK_PERIOD)))
		tick = NULL;
}

void time_fini(void)
{
	if (tick)
		tick->set_period(tick, tick_before);
	tick = NULL;
}

/* Days from 1970-01-01 to the date, by the Gregorian calendar; the year begins with March. */
static s64 days_since_1970(s64 year, s64 month, s64 day)
{
	s64 shifted = year - (month <= 2);
	s64 day_of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;

	return shifted * 365 + shifted / 4 - shifted / 100 + shifted / 400 + day_of_year - 719468;
}

u64 host_wall_clock(void)
{
	EFI_TIME t;
	s64 seconds;

	UEFI_CHECK_CONTEXT();
	if (EFI_ERROR(uefi_st->RuntimeServices->GetTime(&t, NULL)) || t.Year < 1970 ||
	    t.Month < 1 || t.Month > 12)
		return 0;
	seconds = days_since_1970(t.Year, t.Month, t.Day) * 86400 + t.Hour * 3600 + t.Minute * 60 +
		  t.Second;
	/* UEFI 2.10, section 8.3: local time = UTC - TimeZone, in minutes. */
	if (t.TimeZone != EFI_UNSPECIFIED_TIMEZONE)
		seconds += (s64)t.TimeZone * 60;
	return seconds > 0 ? (u64)seconds : 0;
}

void host_stall_us(u32 us)
{
	UEFI_CHECK_CONTEXT();
	uefi_bs->Stall(us);
}

void host_idle(const u32 *kicked)
{
	UEFI_CHECK_CONTEXT();
	cpu_wait(kicked);
}
