/* SPDX-License-Identifier: MIT */
#include <internal/arch.h>
#include <internal/host.h>
#include <internal/pool.h>
#include <internal/sched.h>

/* A deadline nearer than this is waited for awake: the firmware's tick would come too late. */
#define SPIN_NS ((u64)100000)
/* A turn on a processor that has a timer for it; elsewhere the firmware's tick ends it. */
#define SLICE_NS ((u64)2000000)

static struct lock queue_lock = LOCK_INIT(SCHED);
static struct vcpu *queue;  /* of all VMs; whoever runs goes to the end */
static struct vm *favoured; /* by sched_next(), until the next slice; may be gone */

u64 sched_slept(void)
{
	u64 slept = 0;

	for (u32 i = 0; i < cpu_count; i++)
		slept += __atomic_load_n(&cpus[i].slept, __ATOMIC_RELAXED);
	return slept;
}

/* ---- the queue, with its lock held ---- */

static void append(struct vcpu *vcpu)
{
	struct vcpu **link = &queue;

	while (*link)
		link = &(*link)->next;
	vcpu->next = NULL;
	*link = vcpu;
}

static void unlink_vcpu(struct vcpu *vcpu)
{
	for (struct vcpu **link = &queue; *link; link = &(*link)->next) {
		if (*link == vcpu) {
			*link = vcpu->next;
			return;
		}
	}
}

/*
 * The processor with the fewest virtual CPUs. Of several the last: the boot CPU has the firmware's
 * work as well, and mostly no timer of its own.
 */
static struct cpu *emptiest(void)
{
	u32 count[CPU_MAX] = {0};
	u32 best = cpu_count - 1;

	for (const struct vcpu *vcpu = queue; vcpu; vcpu = vcpu->next)
		count[vcpu->cpu->index]++;
	for (u32 i = cpu_count; i-- > 0;)
		if (count[i] < count[best])
			best = i;
	return &cpus[best];
}

void sched_add(struct vm *vm)
{
	lock_take(&queue_lock);
	for (u32 i = 0; i < vm->vcpu_count; i++) {
		vm->vcpus[i].cpu = emptiest();
		append(&vm->vcpus[i]);
	}
	lock_release(&queue_lock);
}

void sched_remove(struct vm *vm)
{
	lock_take(&queue_lock);
	for (u32 i = 0; i < vm->vcpu_count; i++)
		unlink_vcpu(&vm->vcpus[i]);
	lock_release(&queue_lock);
}

void sched_next(struct vm *vm)
{
	lock_take(&queue_lock);
	if (!favoured)
		favoured = vm;
	lock_release(&queue_lock);
}

/* ---- time ---- */

/* Host counter ticks from now to the first timer of @vm, which runs; UINT64_MAX without one. */
static u64 ticks_to_timer(struct vm *vm)
{
	u64 deadline = clock_next(&vm->clock);
	u64 now;

	if (deadline == CLOCK_NEVER)
		return UINT64_MAX;
	now = clock_now(&vm->clock);
	return deadline > now ? muldiv_u64(deadline - now, arch_counter_hz(), NS_PER_SEC) + 1 : 0;
}

static u64 ns_to_ticks(u64 ns)
{
	return muldiv_u64(ns, arch_counter_hz(), NS_PER_SEC);
}

/* For @vcpu on its processor: the end of its turn, or a timer of its VM's before. */
static void set_timer(struct vcpu *vcpu)
{
	struct cpu *cpu = vcpu->cpu;
	u64 now, ticks;

	if (!cpu->timer)
		return;
	now = arch_counter();
	ticks = ticks_to_timer(vcpu->vm);
	arch_cpu_timer(cpu, ticks < cpu->slice_end - now ? now + ticks : cpu->slice_end);
}

void sched_clock_changed(struct vcpu *vcpu)
{
	clock_expire(&vcpu->vm->clock);
	set_timer(vcpu);
}

/* Host counter ticks to the nearest timer of the VMs that have a virtual CPU on @cpu. */
static u64 nearest_timer(const struct cpu *cpu)
{
	u64 nearest = UINT64_MAX;

	lock_take(&queue_lock);
	for (struct vcpu *vcpu = queue; vcpu; vcpu = vcpu->next) {
		if (vcpu->cpu != cpu)
			continue;
		vm_lock(vcpu->vm);
		if (vm_runs(vcpu->vm))
			nearest = min_u64(nearest, ticks_to_timer(vcpu->vm));
		vm_unlock(vcpu->vm);
	}
	lock_release(&queue_lock);
	return nearest;
}

/* ---- what VMs need the firmware for ---- */

void sched_call_boot(void)
{
	/* Alone, it comes to it as soon as its virtual CPU has left. */
	if (cpu_count > 1)
		arch_cpu_kick(cpu_boot());
}

/* A page that is on the volume still, or more memory for all. */
static void serve_memory(struct vm *vm)
{
	struct mem_source *source = vm->mem.source;

	vm_lock(vm);
	vm->mem_wanted = false;
	vm_unlock(vm);
	/* If it couldn't, the VM has failed. */
	if (source && source->serve(source))
		return;
	if (pool_refill()) {
		vm_lock(vm);
		vm_fail(vm, "out of memory: the machine has none left to give it; end other VMs "
			    "or give them less `memory`");
		vm_unlock(vm);
	}
}

static void serve(void)
{
	for (struct vm *vm = vm_first(); vm; vm = vm->next) {
		bool reset, memory;

		vm_lock(vm);
		reset = vm->reset_wanted && vm_runs(vm);
		memory = vm->mem_wanted && vm_runs(vm);
		vm_unlock(vm);
		/* It has failed if it can't be. */
		if (reset && vm_reset(vm))
			continue;
		if (memory)
			serve_memory(vm);
	}
}

/* ---- turns ---- */

/* Whether @vcpu can run now, after its VM's timers. Both locks are held. */
static bool ready(struct vcpu *vcpu)
{
	struct vm *vm = vcpu->vm;

	if (!vm_runs(vm) || vm->reset_wanted || vm->mem_wanted)
		return false;
	if (clock_next(&vm->clock) != CLOCK_NEVER)
		clock_expire(&vm->clock);
	if (vcpu->state == VCPU_HALTED && arch_vcpu_has_irq(vcpu))
		vcpu_set_state(vcpu, VCPU_RUNNABLE);
	return vcpu->state == VCPU_RUNNABLE;
}

/* Takes @vcpu for @cpu, if it can run. */
static bool take(struct cpu *cpu, struct vcpu *vcpu)
{
	bool taken;

	vm_lock(vcpu->vm);
	taken = ready(vcpu);
	if (taken) {
		vcpu->cpu = cpu;
		vm_vcpu_enters(vcpu);
		cpu->slice_end = arch_counter() + ns_to_ticks(SLICE_NS);
		set_timer(vcpu);
	}
	vm_unlock(vcpu->vm);
	return taken;
}

/* Who has its turn on @cpu: from here on it runs. NULL: nobody can. */
static struct vcpu *pick(struct cpu *cpu)
{
	struct vcpu *picked = NULL;

	lock_take(&queue_lock);
	for (u32 pass = 0; pass < 3 && !picked; pass++) {
		for (struct vcpu *vcpu = queue; vcpu && !picked; vcpu = vcpu->next) {
			/* Its own before what other processors have left. */
			bool looks =
				pass ? (vcpu->cpu == cpu) == (pass == 1) : vcpu->vm == favoured;

			if (looks && take(cpu, vcpu))
				picked = vcpu;
		}
	}
	favoured = NULL;
	if (picked) {
		unlink_vcpu(picked);
		append(picked);
	}
	lock_release(&queue_lock);
	return picked;
}

static void run(struct vcpu *vcpu)
{
	vcpu_run(vcpu);
	vm_lock(vcpu->vm);
	vm_vcpu_left(vcpu);
	vm_unlock(vcpu->vm);
}

/* One turn on @cpu; false when there is nobody to have it. */
static bool run_one(struct cpu *cpu)
{
	struct vcpu *vcpu = pick(cpu);

	if (vcpu)
		run(vcpu);
	return vcpu;
}

/* Sleeps until there may be something to do, but for a kick since cpu->kicked was cleared. */
static void sleep(struct cpu *cpu)
{
	u64 begin = arch_counter(), ticks;
	struct vcpu *vcpu;

	__atomic_store_n(&cpu->asleep, 1, __ATOMIC_SEQ_CST);
	/* Who became ready before everybody could see that it sleeps. */
	vcpu = pick(cpu);
	ticks = vcpu ? 0 : nearest_timer(cpu);
	if (cpu != cpu_boot() && ticks)
		arch_cpu_sleep(cpu, ticks == UINT64_MAX ? UINT64_MAX : begin + ticks);
	else if (ticks > ns_to_ticks(SPIN_NS))
		host_idle(&cpu->kicked);
	__atomic_store_n(&cpu->asleep, 0, __ATOMIC_SEQ_CST);
	__atomic_store_n(&cpu->slept, cpu->slept + arch_counter() - begin, __ATOMIC_RELAXED);
	if (vcpu)
		run(vcpu);
}

void sched_wake(const struct vcpu *vcpu)
{
	struct cpu *cpu = vcpu->cpu;

	/* If its own is busy, any that isn't takes it over. */
	if (!__atomic_load_n(&cpu->asleep, __ATOMIC_SEQ_CST))
		for (u32 i = 0; i < cpu_count; i++)
			if (__atomic_load_n(&cpus[i].asleep, __ATOMIC_SEQ_CST))
				cpu = &cpus[i];
	if (__atomic_load_n(&cpu->asleep, __ATOMIC_SEQ_CST))
		arch_cpu_kick(cpu);
}

void sched_yield_to(const struct vcpu *vcpu)
{
	const struct vm *vm = vcpu->vm;

	/* Which takes it over. */
	for (u32 i = 0; i < cpu_count; i++)
		if (__atomic_load_n(&cpus[i].asleep, __ATOMIC_RELAXED))
			return;
	for (u32 i = 0; i < vm->vcpu_count; i++)
		if (vm->vcpus[i].state == VCPU_RUNNING && vm->vcpus[i].cpu == vcpu->cpu)
			vcpu_post(&vm->vcpus[i], PENDING_LEAVE);
}

bool sched_sibling_waits(const struct vcpu *vcpu)
{
	const struct vm *vm = vcpu->vm;

	for (u32 i = 0; i < vm->vcpu_count; i++) {
		const struct vcpu *other = &vm->vcpus[i];

		if (__atomic_load_n(&other->state, __ATOMIC_RELAXED) == VCPU_RUNNABLE &&
		    __atomic_load_n(&other->cpu, __ATOMIC_RELAXED) == vcpu->cpu)
			return true;
	}
	return false;
}

/* ---- the loops ---- */

bool sched_run_ready(void)
{
	serve();
	return run_one(cpu_boot());
}

void sched_run_slice(void)
{
	__atomic_store_n(&cpu_boot()->kicked, 0, __ATOMIC_SEQ_CST);
	if (!sched_run_ready())
		sleep(cpu_boot());
}

void sched_main(struct cpu *cpu)
{
	while (!__atomic_load_n(&cpu->stop, __ATOMIC_SEQ_CST)) {
		__atomic_store_n(&cpu->kicked, 0, __ATOMIC_SEQ_CST);
		/* cpus_stop() kicks as well: after the look above, or before it. */
		if (!run_one(cpu) && !__atomic_load_n(&cpu->stop, __ATOMIC_SEQ_CST))
			sleep(cpu);
	}
}
