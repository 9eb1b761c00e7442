/* SPDX-License-Identifier: MIT */
/*
 * The paravirtual clock: how fast the guest's TSC counts, told through memory. Stock kernels find
 * it by CPUID 4000_0100h and then need no legacy timer to calibrate against, which fails when port
 * accesses are slow, as under an emulator. Linux: Documentation/virt/kvm/x86/msr.rst, cpuid.rst.
 *
 * What is written stays right for good, for the guest's TSC goes on evenly over pause and restore;
 * so there is no state to save. The rate is the one that the guest's time has (vm.c), also where
 * the machine's is slightly another: the time since TSC 0 is computed with it, and would jump.
 */
#include <arch/backend.h>
#include <arch/policy.h>
#include <string.h>

#define MSR_WALL_CLOCK  0 /* offsets from PVCLOCK_MSR_BASE */
#define MSR_SYSTEM_TIME 1
#define ENABLED         BIT(0)
#define TSC_STABLE      BIT(0)

struct wall_clock {
	u32 version; /* odd while it is written */
	u32 seconds;
	u32 nanoseconds;
};

struct time_info {
	u32 version;
	u32 pad;
	u64 tsc_timestamp;
	u64 system_time; /* ns */
	u32 tsc_to_system_mul;
	int8_t tsc_shift;
	u8 flags;
	u8 pad_end[2];
};
static_assert(sizeof(struct time_info) == 32, "an interface of Linux");

/* ns = ((tsc << shift) * mul) >> 32, with mul as precise as it can be. */
static void set_rate(struct time_info *info, u64 hz)
{
	u32 shift = 0;

	while (hz << shift <= NS_PER_SEC)
		shift++;
	info->tsc_shift = (int8_t)shift;
	info->tsc_to_system_mul = (u32)(((unsigned __int128)NS_PER_SEC << 32) / (hz << shift));
}

static enum io_result result_of(enum hv_error err)
{
	if (err == HV_ENO_MEMORY)
		return IO_AGAIN;
	return err ? IO_FAULT : IO_DONE;
}

static enum io_result pvclock_msr(void *ctx, struct io_access *access)
{
	struct vm *vm = ctx;
	enum hv_error err;

	if (!access->is_write) {
		access->value = 0;
		return IO_DONE;
	}
	if (access->offset == MSR_WALL_CLOCK) {
		/* When guest time was 0. */
		u64 ns = vm->clock.wall > 0 ? (u64)vm->clock.wall : 0;
		const struct wall_clock wall = {.version = 2,
						.seconds = (u32)(ns / NS_PER_SEC),
						.nanoseconds = (u32)(ns % NS_PER_SEC)};

		err = guest_write(&vm->guest_mem, GPA(access->value & ~(u64)3), &wall,
				  sizeof(wall));
		return result_of(err);
	}

	struct time_info info = {.version = 2, .flags = TSC_STABLE};

	if (!(access->value & ENABLED))
		return IO_DONE;
	set_rate(&info, vm->time.counter_hz);
	err = guest_write(&vm->guest_mem, GPA(access->value & ~(u64)3), &info, sizeof(info));
	return result_of(err);
}

enum hv_error pvclock_register(struct vm *vm)
{
	const struct io_region region = {.name = "paravirtual clock",
					 .space = IO_REG,
					 .base = PVCLOCK_MSR_BASE,
					 .length = 2,
					 .handler = pvclock_msr,
					 .ctx = vm};

	return io_register(&vm->io, &region);
}
