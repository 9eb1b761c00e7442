/* SPDX-License-Identifier: MIT */
/*
 * First process of the guest whose boot is measured: says how far the guest's counter is, and what
 * it counts in a second, and turns the machine off.
 */
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/reboot.h>
#include <unistd.h>

static void read_counter(uint64_t *count, uint64_t *hz)
{
#ifdef __aarch64__
	__asm__ volatile("isb; mrs %0, cntvct_el0; mrs %1, cntfrq_el0" : "=r"(*count), "=r"(*hz));
#else
	uint32_t low, high;

	__asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
	*count = low | (uint64_t)high << 32;
	/* Under -icount, with which alone this is used. */
	*hz = 1000000000;
#endif
}

int main(void)
{
	uint64_t count, hz;

	read_counter(&count, &hz);
	printf("bench: init at %" PRIu64 " of %" PRIu64 " Hz\n", count, hz);
	fflush(stdout);
	reboot(RB_POWER_OFF);
	for (;;)
		pause();
}
