/* SPDX-License-Identifier: MIT */
/* How far long work is: on one line, for a person who waits; what takes under a second has none. */
#include <internal/arch.h>
#include <internal/console.h>
#include <internal/monitor.h>

static u64 began; /* host counter */
static u32 shown; /* tenths that were shown */
static bool in_line;
static const char *doing; /* what was shown last */

void monitor_progress_begin(void)
{
	began = arch_counter();
	shown = 0;
	in_line = false;
	doing = NULL;
}

void monitor_progress(const char *what, u64 done, u64 all)
{
	u32 tenths = (u32)muldiv_u64(min_u64(done, all), 10, max_u64(all, 1));

	if (doing != what) {
		monitor_progress_end();
		in_line = false;
		shown = 0;
		doing = what;
	}
	if (tenths <= shown || arch_counter() - began < arch_counter_hz())
		return;
	if (!in_line)
		console_print("%s %llu MiB:", what, (unsigned long long)all >> 20);
	in_line = true;
	shown = tenths;
	console_print(" %u %%", tenths * 10);
	console_push();
}

void monitor_progress_end(void)
{
	if (in_line)
		console_print("\n");
}
