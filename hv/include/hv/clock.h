/* SPDX-License-Identifier: MIT */
/*
 * A guest's time and its timers, in nanoseconds since the guest first ran. Time stands still while
 * the guest is paused and goes on from the saved value after a restore. A device never reads a
 * hardware counter: on the host a test moves the time by hand.
 */
#ifndef HV_CLOCK_H
#define HV_CLOCK_H

#include <hv/types.h>

#define CLOCK_NEVER UINT64_MAX

struct timer {
	struct timer *next;
	u64 deadline; /* ns; CLOCK_NEVER when not armed */
	void (*fn)(void *ctx);
	void *ctx;
};

struct clock {
	u64 (*now)(void *ctx); /* ns of guest time, never goes back */
	void *ctx;
	struct timer *first; /* armed timers, the earliest first */
	s64 wall;            /* ns since 1970 (UTC) when guest time was 0; see clock_wall() */
};

static inline u64 clock_now(const struct clock *clock)
{
	return clock->now(clock->ctx);
}

/*
 * Nanoseconds since 1970 (UTC), for clocks that go on while the guest does not: it is the machine's
 * time whenever the guest begins to run on, and counts with guest time until then.
 */
static inline u64 clock_wall(const struct clock *clock)
{
	u64 now = clock_now(clock), before = 0 - (u64)clock->wall;

	if (clock->wall >= 0)
		return now + (u64)clock->wall;
	return now > before ? now - before : 0;
}

/* @fn(@ctx) is called once per arming, from clock_expire(), with the timer disarmed. */
void timer_init(struct timer *timer, void (*fn)(void *ctx), void *ctx);

/* Arms @timer for @deadline (ns of guest time, which may be past), moving it if it was armed. */
void timer_arm(struct clock *clock, struct timer *timer, u64 deadline);

void timer_cancel(struct clock *clock, struct timer *timer);

static inline bool timer_armed(const struct timer *timer)
{
	return timer->deadline != CLOCK_NEVER;
}

/* Deadline of the earliest armed timer, CLOCK_NEVER when there is none. */
u64 clock_next(const struct clock *clock);

/*
 * Calls every timer whose deadline is not after the present. Ends: a timer that re-arms itself in
 * the past is called again at the next clock_expire().
 */
void clock_expire(struct clock *clock);

#endif
