/* SPDX-License-Identifier: MIT */
/* The monitor: what a person types at `anew> `. Firmware context only. */
#ifndef HV_MONITOR_H
#define HV_MONITOR_H

#include <internal/vm.h>

#define MONITOR_LINE_MAX 256
#define MONITOR_ARGS_MAX 8

struct monitor_command {
	const char *name;
	const char *usage; /* what follows the name */
	const char *help;
	/*
	 * Carries it out. @args are the @count words after the name. False: the arguments are not
	 * what `usage` says, which the monitor then shows.
	 */
	bool (*fn)(u32 count, char **args);
};

/* One table for each cmd_*.c, ended by a command without a name. */
extern const struct monitor_command monitor_vm_commands[];
extern const struct monitor_command monitor_snapshot_commands[];
extern const struct monitor_command monitor_genid_commands[];
extern const struct monitor_command monitor_info_commands[];

/* Shows the prompt, and says so in the event stream. */
void monitor_prompt(void);
/* Shows prompt and line again after something else was printed. */
void monitor_redraw(void);
/* One byte that was typed. */
void monitor_key(u8 key);
/* Carries out @line, which is taken apart in place. */
void monitor_run(char *line);
/* Whether `exit` was asked for. */
bool monitor_ended(void);
void monitor_end(void);

/* ---- for the commands ---- */

/* "error: " and what went wrong; what to do next comes behind a semicolon. Also an event. */
HV_PRINTF(1, 2) void monitor_error(const char *format, ...);

/*
 * Around work that may take long; monitor_progress() in between says that @done of @all bytes of
 * @what ("writing") are done.
 */
void monitor_progress_begin(void);
void monitor_progress(const char *what, u64 done, u64 all);
void monitor_progress_end(void);

/* The VM called @name, NULL: the only one there is. NULL after an error was said. */
struct vm *monitor_vm(const char *name);

#endif
