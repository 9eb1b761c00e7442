/* SPDX-License-Identifier: MIT */
/*
 * What anew needs of a machine. Each requirement is looked at in one place and said in one way:
 * before a start, those that aren't met are; for a person who asks (`--check`), all of them.
 */
#ifndef HV_CHECK_H
#define HV_CHECK_H

#include <internal/config.h>

/*
 * A requirement, called @what; @met: whether the machine has it. Where it isn't met, @format says
 * what, where, and what to do. Returns @met. Firmware context.
 */
HV_PRINTF(3, 4)
bool check_require(bool met, const char *what, const char *format, ...);

/*
 * Reports every requirement on the console, yes or no, and changes nothing; @config_read is how
 * reading @config ended. Whether all are met.
 */
HV_MUST_CHECK bool check_report(const struct config *config, enum hv_error config_read);

#endif
