/* SPDX-License-Identifier: MIT */
/*
 * MEASURE(name, body) prints how many instructions a call of body() executes: loops of 10,000, the
 * least of three, loop overhead included. An emulator's counter that ticks more rarely than once in
 * an instruction is off by thousandths.
 */
#ifndef MEASURE_H
#define MEASURE_H

#include "payload.h"

#define LOOPS 10000

#define MEASURE(name, body)                                                                        \
	do {                                                                                       \
		uint64_t best = UINT64_MAX;                                                        \
		for (int round = 0; round < 3; round++) {                                          \
			uint64_t start = instructions();                                           \
			for (int i = 0; i < LOOPS; i++)                                            \
				body();                                                            \
			uint64_t took = instructions() - start;                                    \
			if (took < best)                                                           \
				best = took;                                                       \
		}                                                                                  \
		print("bench: %s %llu\n", name, (unsigned long long)(best / LOOPS));               \
	} while (0)

#endif
