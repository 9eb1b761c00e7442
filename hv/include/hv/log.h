/* SPDX-License-Identifier: MIT */
/*
 * The log. One macro carries the level; every line goes to a ring in memory and is shown on the
 * console when the firmware can be called.
 *
 * LOG_ERROR  anew could not do what it was asked to do
 * LOG_WARN   something a person should know about the machine or the configuration
 * LOG_INFO   a VM's life: what a guest's behaviour alone may cause, rate-limited (log_limited)
 * LOG_DEBUG  for those who work on anew
 */
#ifndef HV_LOG_H
#define HV_LOG_H

#include <hv/types.h>

enum log_level {
	LOG_ERROR,
	LOG_WARN,
	LOG_INFO,
	LOG_DEBUG,
};

/* One line, without the line's end. Safe in any context; never calls the firmware. */
HV_PRINTF(2, 3) void log_print(enum log_level level, const char *format, ...);

/* A budget of lines, refilled once per second of host time; for lines that a guest can cause. */
struct log_limit {
	u64 second;
	u32 used;
	u32 dropped;
};

/* Like log_print(), but at most 10 lines per second through one @limit; says how many it dropped.
 */
HV_PRINTF(3, 4)
void log_limited(struct log_limit *limit, enum log_level level, const char *format, ...);

#define log_error(...) log_print(LOG_ERROR, __VA_ARGS__)
#define log_warn(...)  log_print(LOG_WARN, __VA_ARGS__)
#define log_info(...)  log_print(LOG_INFO, __VA_ARGS__)
#define log_debug(...) log_print(LOG_DEBUG, __VA_ARGS__)

/*
 * For broken invariants of anew itself only: nothing that a guest, a file or a user can do may lead
 * here. Prints the reason, the build and the last exits, and what to report, and stops the machine.
 */
HV_PRINTF(1, 2) HV_NORETURN void panic(const char *format, ...);

#define HV_ASSERT(cond)                                                                            \
	do {                                                                                       \
		if (!(cond))                                                                       \
			panic("%s:%d: %s does not hold", __FILE__, __LINE__, #cond);               \
	} while (0)

#endif
