/* SPDX-License-Identifier: MIT */
#include <hv/clock.h>

/*
 * clock_expire() puts a timer with this function into the list behind the timers that are due when
 * it begins. What is armed during the round goes behind it, so a round ends.
 */
static void round_end(void *ctx)
{
	(void)ctx;
}

void timer_init(struct timer *timer, void (*fn)(void *ctx), void *ctx)
{
	*timer = (struct timer){.deadline = CLOCK_NEVER, .fn = fn, .ctx = ctx};
}

void timer_cancel(struct clock *clock, struct timer *timer)
{
	if (!timer_armed(timer))
		return;
	for (struct timer **link = &clock->first; *link; link = &(*link)->next) {
		if (*link == timer) {
			*link = timer->next;
			break;
		}
	}
	timer->next = NULL;
	timer->deadline = CLOCK_NEVER;
}

void timer_arm(struct clock *clock, struct timer *timer, u64 deadline)
{
	struct timer **link = &clock->first;

	timer_cancel(clock, timer);
	if (deadline == CLOCK_NEVER)
		return;
	for (struct timer **at = link; *at; at = &(*at)->next)
		if ((*at)->fn == round_end)
			link = &(*at)->next;
	while (*link && (*link)->deadline <= deadline)
		link = &(*link)->next;
	timer->deadline = deadline;
	timer->next = *link;
	*link = timer;
}

u64 clock_next(const struct clock *clock)
{
	return clock->first ? clock->first->deadline : CLOCK_NEVER;
}

void clock_expire(struct clock *clock)
{
	struct timer end;
	struct timer *timer;
	u64 now;

	if (!clock->first)
		return;
	now = clock_now(clock);
	if (clock->first->deadline > now)
		return;
	timer_init(&end, round_end, NULL);
	timer_arm(clock, &end, now);
	/* A timer's function may itself call clock_expire(), which then ends this round too. */
	while (timer_armed(&end)) {
		timer = clock->first;
		clock->first = timer->next;
		timer->next = NULL;
		timer->deadline = CLOCK_NEVER;
		timer->fn(timer->ctx);
	}
}
