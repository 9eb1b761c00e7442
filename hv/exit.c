/* SPDX-License-Identifier: MIT */
#include <internal/exit.h>
#include <stdio.h>

const char *exit_reason_text(u32 reason)
{
	static const char *const texts[] = {
#define EXIT_TEXT(name, text) [EXIT_##name] = text,
		HV_EXITS(EXIT_TEXT)
#undef EXIT_TEXT
	};

	return reason < EXIT_REASON_COUNT ? texts[reason] : "none";
}

void exit_describe(const struct hv_exit *exit, char *buf, size_t length)
{
	const char *text = exit_reason_text(exit->reason);

	switch (exit->reason) {
	case EXIT_MEMORY:
		snprintf(buf, length, "%s, %s at %llxh", text, exit->is_write ? "write" : "read",
			 (unsigned long long)exit->gpa.v);
		return;
	case EXIT_PIO:
	case EXIT_REG:
		snprintf(buf, length, "%s, %s of %u bytes at %llxh", text,
			 exit->access.is_write ? "write" : "read", exit->access.size,
			 (unsigned long long)exit->address);
		return;
	default:
		snprintf(buf, length, "%s", text);
	}
}
