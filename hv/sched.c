/* SPDX-License-Identifier: MIT */
#include <internal/arch.h>
#include <internal/host.h>
#include <internal/sched.h>
#include <internal/pool.h>

/* A deadline nearer than this is waited for awake: the firmware's tick would come too late. */
#define SPIN_NS ((u64)100000)

static struct vm *last_vm;
static struct vm *favoured; /* by sched_next(), until the next slice; may be gone */
static u64 slept;

u64 sched_slept(void)
{
	return slept;
}

/* Timers, reboots and memory of one VM; whether its virtual CPU can run now. */
static bool vm_ready(struct vm *vm)
{
	struct vcpu *vcpu = &vm->vcpus[0];

	if (vm->state != VM_RUNNING)
		return false;
	if (vm->reset_wanted) {
		vm->reset_wanted = false;
		if (vm_reset(vm))
			return false;
	}
	if (vm->mem_wanted) {
		struct mem_source *source = vm->mem.source;

		vm->mem_wanted = false;
		if (source && source->serve(source)) {
			/* If it couldn't, the VM has failed. */
			if (vm->state != VM_RUNNING)
				return false;
		} else if (pool_refill()) {
			vm_fail(vm, "out of memory: the machine has none left to give it; end "
				    "other VMs or give them less `memory`");
			return false;
		}
	}
	if (clock_next(&vm->clock) != CLOCK_NEVER)
		clock_expire(&vm->clock);
	if (vcpu->state == VCPU_HALTED && arch_vcpu_has_irq(vcpu))
		vcpu->state = VCPU_RUNNABLE;
	return vcpu->state == VCPU_RUNNABLE;
}

/* Nanoseconds of host time to the nearest deadline of any running VM; CLOCK_NEVER without one. */
static u64 nearest_deadline(void)
{
	u64 nearest = CLOCK_NEVER;

	for (struct vm *vm = vm_first(); vm; vm = vm->next) {
		u64 deadline = clock_next(&vm->clock);

		if (vm->state != VM_RUNNING || deadline == CLOCK_NEVER)
			continue;

		u64 now = clock_now(&vm->clock);

		nearest = min_u64(nearest, deadline > now ? deadline - now : 0);
	}
	return nearest;
}

void sched_next(struct vm *vm)
{
	if (!favoured)
		favoured = vm;
}

/* Round robin: the one after that which ran last, which may be gone. NULL: the first. */
static struct vm *whose_turn(void)
{
	struct vm *turn = NULL;

	for (struct vm *vm = vm_first(); vm; vm = vm->next) {
		if (vm == favoured)
			return vm;
		if (vm == last_vm)
			turn = vm->next;
	}
	return turn;
}

bool sched_run_ready(void)
{
	struct vm *vm = whose_turn();

	favoured = NULL;
	for (u32 pass = 0; pass < 2; pass++) {
		for (; vm; vm = vm->next) {
			if (!vm_ready(vm))
				continue;
			last_vm = vm;
			vcpu_run(&vm->vcpus[0]);
			return true;
		}
		vm = vm_first();
	}
	return false;
}

void sched_run_slice(void)
{
	if (sched_run_ready())
		return;
	if (nearest_deadline() > SPIN_NS) {
		u64 begin = arch_counter();

		host_idle();
		slept += arch_counter() - begin;
	}
}
