/* SPDX-License-Identifier: MIT */
/* The reader's side of the log: what console and monitor use. */
#ifndef HV_LOG_INTERNAL_H
#define HV_LOG_INTERNAL_H

#include <hv/log.h>

#define LOG_RING_BYTES 65536u
#define LOG_LINE_MAX   512u /* bytes with the line's end; what is longer is cut */

/*
 * Copies up to @length bytes that were logged since *@cursor to @buf, returns how many and moves
 * the cursor. A cursor begins as 0. Where lines were overwritten before they were read, it goes on
 * at the oldest whole line. Safe in any context.
 */
size_t log_read(u64 *cursor, char *buf, size_t length);

/* Lines of a level above this one are not kept. LOG_INFO at first. */
enum log_level log_level_get(void);
void log_level_set(enum log_level level);

/*
 * Called by panic() with each of the lines that it logs, in whatever context and on whatever
 * processor it happened, to show it. May be NULL.
 */
extern void (*log_panic_hook)(const char *line);
/* Called once by panic() after its reason, for more lines: by log_panic_line(). May be NULL. */
extern void (*log_panic_details)(void);
/* One more line, while the machine stops: needs no lock. */
HV_PRINTF(1, 2) void log_panic_line(const char *format, ...);

#endif
