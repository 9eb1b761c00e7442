/* SPDX-License-Identifier: MIT */
#ifndef HV_VERSION_H
#define HV_VERSION_H

/* What this image was built from: the git commit, with "-dirty" if the tree had changes. */
extern const char anew_build[];

#endif
