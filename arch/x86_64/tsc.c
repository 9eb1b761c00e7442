/* SPDX-License-Identifier: MIT */
#include <arch/asm.h>
#include <arch/tsc.h>
#include <internal/host.h>

#define INTERVAL_US 50000u
#define READS       16u
#define TRIES_MAX   20u

/* Both clocks at one moment. */
struct moment {
	u64 tsc;
	u32 timer;
};

/*
 * The reading with the least between the two of the counter around it: an interrupt, or an emulator
 * that had to wait for a processor, only lengthens it.
 */
static struct moment read_both(const struct pm_timer *timer)
{
	struct moment moment = {0};
	u64 least = UINT64_MAX;

	for (u32 i = 0; i < READS; i++) {
		u64 before = rdtsc();
		u32 value = inl(timer->port);
		u64 after = rdtsc();

		if (after - before >= least)
			continue;
		least = after - before;
		moment = (struct moment){.tsc = before + least / 2, .timer = value & timer->mask};
	}
	return moment;
}

static u64 by_timer(const struct pm_timer *timer)
{
	struct moment begin = read_both(timer), end;
	u32 ticks;

	host_stall_us(INTERVAL_US);
	end = read_both(timer);
	ticks = (end.timer - begin.timer) & timer->mask;
	return ticks ? muldiv_u64(end.tsc - begin.tsc, PM_TIMER_HZ, ticks) : 0;
}

/*
 * Against the firmware's own delay. What comes in between only lengthens a try: the shortest
 * counts, once another is within 50 ppm of it.
 */
static u64 by_delay(void)
{
	u64 best = UINT64_MAX, second = UINT64_MAX;

	for (u32 i = 0; i < TRIES_MAX && (i < 2 || second - best > best / 20000); i++) {
		u64 start = rdtsc(), ticks;

		host_stall_us(INTERVAL_US);
		ticks = rdtsc() - start;
		second = min_u64(second, max_u64(best, ticks));
		best = min_u64(best, ticks);
	}
	return muldiv_u64(best, 1000000, INTERVAL_US);
}

u64 tsc_calibrate(void)
{
	const struct pm_timer timer = pm_timer_find(host_acpi_rsdp());
	u64 hz = timer.port ? by_timer(&timer) : 0;

	if (!hz)
		hz = by_delay();
	/* CPUID says the same in kHz. */
	return hz / 1000 * 1000;
}
