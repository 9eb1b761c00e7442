/* SPDX-License-Identifier: MIT */
#include <arch/crc32c.h>

bool fake_crc32c_word;
