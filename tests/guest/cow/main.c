/* SPDX-License-Identifier: MIT */
/*
 * What a write costs that has to copy its page first: one byte into each of PAGES pages, each time
 * that a key is typed. Who types has taken a snapshot before, so that the pages are frozen.
 */
#include "payload.h"

#define PAGES 2048
#define PAGE  4096

static volatile uint8_t memory[PAGES][PAGE] __attribute__((aligned(PAGE)));

static uint64_t write_all(uint8_t value)
{
	uint64_t start = instructions();

	for (int i = 0; i < PAGES; i++)
		memory[i][0] = value;
	return instructions() - start;
}

void payload_main(void)
{
	write_all(1);
	print("cow: writable %llu\n", (unsigned long long)(write_all(2) / PAGES));
	for (uint8_t round = 3;; round++) {
		print("cow: ready\n");
		wait_for_key();
		print("cow: frozen %llu\n", (unsigned long long)(write_all(round) / PAGES));
	}
}
