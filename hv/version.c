/* SPDX-License-Identifier: MIT */
#include <internal/version.h>

/* The build passes ANEW_BUILD for this file alone, so that a commit rebuilds no other. */
const char anew_build[] = ANEW_BUILD;
