/* SPDX-License-Identifier: MIT */
/*
 * The errors of anew: negative values, one text each. A function that returns enum hv_error
 * returns HV_OK or one of these; what exactly was wrong is said in words by whoever knows it
 * (log.h), the error only steers.
 */
#ifndef HV_ERROR_H
#define HV_ERROR_H

#include <hv/types.h>

#define HV_ERRORS(X)                                                                               \
	X(INVALID, 1, "invalid value")                                                             \
	X(NO_MEMORY, 2, "out of memory")                                                           \
	X(NOT_FOUND, 3, "not found")                                                               \
	X(EXISTS, 4, "already exists")                                                             \
	X(NO_SPACE, 5, "no room left")                                                             \
	X(UNSUPPORTED, 6, "not supported")                                                         \
	X(NO_ENTROPY, 7, "no entropy")                                                             \
	X(IO, 8, "input/output error")                                                             \
	X(CORRUPT, 9, "damaged or not of this format")                                             \
	X(BUSY, 10, "in use")                                                                      \
	X(DENIED, 11, "refused by the firmware")                                                   \
	X(TOO_BIG, 12, "too big")

enum hv_error {
	HV_OK = 0,
#define HV_ERROR_ENUM(name, value, text) HV_E##name = -(value),
	HV_ERRORS(HV_ERROR_ENUM)
#undef HV_ERROR_ENUM
};

/* The text of @err, never NULL; "ok" for HV_OK. */
const char *hv_error_text(enum hv_error err);

#endif
