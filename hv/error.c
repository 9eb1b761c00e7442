/* SPDX-License-Identifier: MIT */
#include <hv/error.h>

const char *hv_error_text(enum hv_error err)
{
	switch (err) {
	case HV_OK:
		return "ok";
#define HV_ERROR_TEXT(name, value, text)                                                           \
	case HV_E##name:                                                                           \
		return text;
		HV_ERRORS(HV_ERROR_TEXT)
#undef HV_ERROR_TEXT
	}
	return "unknown error";
}
