/* SPDX-License-Identifier: MIT */
/*
 * Scheduler, states of vCPUs, locks and layers with processors that are threads, under
 * ThreadSanitizer: real sched.c, run.c, vm.c, vcpu.c and mem.c. Guests make interrupts for each
 * other, halt, and count in their memory through translations that stay until they are flushed,
 * while the boot CPU pauses, resets, freezes, puts back, ends and makes VMs. No interrupt, no
 * wakeup and no count may be lost, nobody may run who is frozen, and no guest's time may go back.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <internal/sched.h>
#include <pthread.h>
#include <stdio.h>
#include <time.h>

#include "host_bare.h"
#include "mem_model.h"

#define PROCESSORS 4
#define VMS        3
#define VCPUS      3
#define PAGES      16   /* of 4 KiB, in the first 2 MiB */
#define STEPS      3000 /* of every vCPU */
#define SECONDS    240

#define PORT_IPI   1 /* for the vCPU that is written */
#define PORT_TIMER 2 /* the caller's, in so many nanoseconds */
#define PORT_RESET 3

/* What must hold stops the whole test where it doesn't. */
#define MUST(what)                                                                                 \
	do {                                                                                       \
		if (!(what)) {                                                                     \
			fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #what);         \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

struct tlb {
	u32 flushes; /* that there had been when it was filled */
	u8 *page[PAGES];
	bool writable[PAGES];
};

struct guest {
	u32 steps[VCPUS];              /* atomic */
	bool halts[VCPUS];             /* its timer is set: [own] */
	struct timer timers[VCPUS];    /* [l] */
	u32 waiting[VCPUS];            /* [l] interrupts that were not taken yet */
	u64 made, taken, armed, fired; /* [l] interrupts, timers */
	u64 last;                      /* [l] the latest time that anybody saw */
	u32 frozen;                    /* atomic: nobody may run */
	u64 counted;                   /* atomic: what is in all of its memory */
	u64 seen[PAGES];               /* atomic: what somebody knows to be in a page, at least */
	u64 counted_then;              /* the same of the image */
	struct mem_image image;
	struct tlb tlbs[VCPUS];
};

static u32 interrupts[PROCESSORS]; /* atomic: a kick that was not taken yet */
static pthread_mutex_t sleep_mutex[PROCESSORS];
static pthread_cond_t sleep_cond[PROCESSORS];
static bool quiet; /* atomic: only timers, no interrupts for others */
static _Thread_local u32 seed = 1;

static u32 pick(u32 below)
{
	seed ^= seed << 13;
	seed ^= seed >> 17;
	seed ^= seed << 5;
	return seed % below;
}

static u64 now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (u64)t.tv_sec * NS_PER_SEC + (u64)t.tv_nsec;
}

/* ---- the processors ---- */

static void kick(struct cpu *cpu)
{
	__atomic_store_n(&interrupts[cpu->index], 1, __ATOMIC_SEQ_CST);
	pthread_mutex_lock(&sleep_mutex[cpu->index]);
	pthread_cond_signal(&sleep_cond[cpu->index]);
	pthread_mutex_unlock(&sleep_mutex[cpu->index]);
}

static void sleep_until(struct cpu *cpu, u64 until)
{
	u64 end = min_u64(until, now() + (u64)SECONDS * NS_PER_SEC);
	struct timespec t = {.tv_sec = (time_t)(end / NS_PER_SEC),
			     .tv_nsec = (long)(end % NS_PER_SEC)};

	pthread_mutex_lock(&sleep_mutex[cpu->index]);
	if (!__atomic_load_n(&cpu->kicked, __ATOMIC_SEQ_CST) && now() < end)
		pthread_cond_timedwait(&sleep_cond[cpu->index], &sleep_mutex[cpu->index], &t);
	pthread_mutex_unlock(&sleep_mutex[cpu->index]);
}

/* The firmware's tick is not far. */
void host_idle(const u32 *kicked)
{
	struct timespec t = {.tv_nsec = 100000};

	if (!__atomic_load_n(kicked, __ATOMIC_SEQ_CST))
		nanosleep(&t, NULL);
}

u64 host_wall_clock(void)
{
	return 0;
}

static bool host_irq(struct vcpu *vcpu)
{
	struct cpu *cpu = vcpu->cpu;

	__atomic_store_n(&interrupts[cpu->index], 0, __ATOMIC_SEQ_CST);
	return cpu->timer && now() < cpu->arch.timer;
}

static void *processor(void *ctx)
{
	struct cpu *cpu = ctx;

	seed = cpu->index + 1;
	sched_main(cpu);
	return NULL;
}

/* ---- the guests ---- */

static struct guest *guest_of(const struct vcpu *vcpu)
{
	return vcpu->vm->arch.test;
}

static void interrupt(struct vm *vm, u32 target)
{
	struct guest *guest = vm->arch.test;

	guest->made++;
	guest->waiting[target]++;
	vm_kick(vm, target);
}

static void timer_due(void *ctx)
{
	struct vcpu *vcpu = ctx;

	guest_of(vcpu)->fired++;
	interrupt(vcpu->vm, vcpu->index);
}

static enum io_result port(void *ctx, struct io_access *access)
{
	struct vm *vm = ctx;
	struct guest *guest = vm->arch.test;
	u64 counter = vm_counter(vm);

	MUST(counter >= guest->last);
	guest->last = counter;
	switch (access->offset) {
	case PORT_IPI:
		interrupt(vm, (u32)access->value % vm->vcpu_count);
		break;
	case PORT_TIMER:
		guest->armed += !timer_armed(&guest->timers[access->vcpu]);
		timer_arm(&vm->clock, &guest->timers[access->vcpu],
			  clock_now(&vm->clock) + access->value);
		break;
	case PORT_RESET:
		vm_request_reset(vm);
		break;
	default:
		break;
	}
	return IO_DONE;
}

/* With interrupts held off until it halts it can't miss what it will wait for. */
static void prepare_irq(struct vcpu *vcpu)
{
	struct guest *guest = guest_of(vcpu);

	if (guest->halts[vcpu->index])
		return;
	guest->taken += guest->waiting[vcpu->index];
	guest->waiting[vcpu->index] = 0;
}

static bool has_irq(const struct vcpu *vcpu)
{
	return guest_of(vcpu)->waiting[vcpu->index];
}

/* The translation of @page that @vcpu's processor has, or finds. NULL: a fault. */
static u8 *translate(struct vcpu *vcpu, u32 page, bool write)
{
	struct tlb *tlb = &guest_of(vcpu)->tlbs[vcpu->index];
	u64 gpa = page * PAGE_SIZE;

	if (tlb->flushes != vcpu->arch.flushes)
		*tlb = (struct tlb){.flushes = vcpu->arch.flushes};
	if (tlb->page[page] && (tlb->writable[page] || !write))
		return tlb->page[page];
	tlb->page[page] = mem_model_walk(vcpu->vm->mem.format, vcpu->vm->mem.root, gpa, write);
	tlb->writable[page] = write;
	return tlb->page[page];
}

static bool count(struct vcpu *vcpu, struct hv_exit *exit)
{
	u32 page = pick(PAGES);
	bool write = pick(2);
	u64 *counter = (u64 *)(void *)translate(vcpu, page, write);
	struct guest *guest = guest_of(vcpu);
	u64 seen, value;

	if (!counter) {
		*exit = (struct hv_exit){
			.reason = EXIT_MEMORY, .gpa = GPA(page * PAGE_SIZE), .is_write = write};
		return false;
	}
	/* An instruction takes its time. */
	if (!pick(32))
		nanosleep(&(struct timespec){.tv_nsec = 50000}, NULL);
	/* Everybody counts on in one page: nobody may still see what it was before a copy. */
	seen = __atomic_load_n(&guest->seen[page], __ATOMIC_SEQ_CST);
	if (write) {
		value = __atomic_add_fetch(counter, 1, __ATOMIC_SEQ_CST);
		__atomic_add_fetch(&guest->counted, 1, __ATOMIC_RELAXED);
		while (seen < value &&
		       !__atomic_compare_exchange_n(&guest->seen[page], &seen, value, false,
						    __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
			;
	} else {
		value = __atomic_load_n(counter, __ATOMIC_SEQ_CST);
		MUST(value >= seen);
	}
	return true;
}

static void out(struct hv_exit *exit, u64 address, u64 value)
{
	*exit = (struct hv_exit){.reason = EXIT_PIO,
				 .address = address,
				 .access = {.size = 4, .is_write = true, .value = value}};
}

/* One run of the guest: it counts, then something happens, or an interrupt ends it. */
static void run_guest(struct vcpu *vcpu, struct hv_exit *exit)
{
	struct guest *guest = guest_of(vcpu);
	struct cpu *cpu = vcpu->cpu;

	MUST(!__atomic_load_n(&guest->frozen, __ATOMIC_SEQ_CST));
	for (u32 i = pick(40); i; i--) {
		*exit = (struct hv_exit){.reason = EXIT_HOST_IRQ};
		if (__atomic_load_n(&interrupts[cpu->index], __ATOMIC_SEQ_CST))
			return;
		if (cpu->timer ? now() >= cpu->arch.timer : !pick(200))
			return;
		if (!count(vcpu, exit))
			return;
	}
	__atomic_add_fetch(&guest->steps[vcpu->index], 1, __ATOMIC_RELAXED);
	if (guest->halts[vcpu->index]) {
		guest->halts[vcpu->index] = false;
		*exit = (struct hv_exit){.reason = EXIT_HALT};
	} else if (!pick(4)) {
		guest->halts[vcpu->index] = true;
		out(exit, PORT_TIMER, pick(300000));
	} else if (!pick(3000)) {
		out(exit, PORT_RESET, 0);
	} else if (!__atomic_load_n(&quiet, __ATOMIC_RELAXED)) {
		out(exit, PORT_IPI, pick(VCPUS));
	} else {
		*exit = (struct hv_exit){.reason = EXIT_HYPERCALL};
	}
}

static enum hv_error vm_init(struct vm *vm)
{
	const struct io_region region = {.name = "port",
					 .space = IO_PIO,
					 .length = 16,
					 .unaligned = true,
					 .handler = port,
					 .ctx = vm};
	struct guest *guest = calloc(1, sizeof(*guest));

	MUST(guest);
	vm->arch.test = guest;
	for (u32 i = 0; i < vm->vcpu_count; i++)
		timer_init(&guest->timers[i], timer_due, &vm->vcpus[i]);
	return io_register(&vm->io, &region);
}

static void vm_fini(struct vm *vm)
{
	struct guest *guest = vm->arch.test;

	mem_image_fini(&guest->image);
	free(guest);
}

/* ---- what the boot CPU does to them ---- */

/* Nobody runs: what was made is taken or waits, and all that was counted is there. */
static void check(struct vm *vm)
{
	struct guest *guest = vm->arch.test;
	u64 waiting = 0, all = 0, armed = 0;

	MUST(!vm->on_cpu);
	for (u32 i = 0; i < vm->vcpu_count; i++) {
		MUST(vm->vcpus[i].state == VCPU_FROZEN && !vm->vcpus[i].in_guest);
		waiting += guest->waiting[i];
		armed += timer_armed(&guest->timers[i]);
	}
	MUST(guest->made == guest->taken + waiting);
	MUST(guest->armed == guest->fired + armed);
	for (u64 gpa = 0; gpa < PAGES * PAGE_SIZE; gpa += PAGE_SIZE) {
		u64 counter;

		MUST(mem_read(&vm->mem, GPA(gpa), &counter, sizeof(counter)) == HV_OK);
		all += counter;
	}
	MUST(all == guest->counted);
}

static void freeze(struct vm *vm)
{
	struct guest *guest = vm->arch.test;

	mem_image_fini(&guest->image);
	MUST(mem_freeze(&vm->mem, &guest->image) == HV_OK);
	guest->counted_then = guest->counted;
}

static void put_back(struct vm *vm)
{
	struct guest *guest = vm->arch.test;
	struct mem_image old;

	if (!guest->image.root)
		return;
	MUST(mem_attach(&vm->mem, &guest->image, &old) == HV_OK);
	mem_image_fini(&old);
	guest->counted = guest->counted_then;
	memset(guest->seen, 0, sizeof(guest->seen));
}

static struct vm *make(const char *name)
{
	struct vm *vm;

	MUST(bare_vm_of(name, VCPUS, &vm) == HV_OK);
	vm_resume(vm);
	return vm;
}

static void disturb(struct vm *vm)
{
	struct guest *guest = vm->arch.test;
	char name[CONFIG_NAME_MAX];
	bool held = pick(2);

	if (held)
		vm_hold(vm);
	else
		vm_pause(vm);
	__atomic_store_n(&guest->frozen, 1, __ATOMIC_SEQ_CST);
	check(vm);
	switch (pick(64)) {
	case 0 ... 9:
		put_back(vm);
		break;
	case 10 ... 29:
		freeze(vm);
		break;
	case 63:
		memcpy(name, vm->config.name, sizeof(name));
		vm_destroy(vm);
		make(name);
		return;
	default:
		break;
	}
	check(vm);
	__atomic_store_n(&guest->frozen, 0, __ATOMIC_SEQ_CST);
	if (held)
		vm_release(vm);
	else
		vm_resume(vm);
}

static bool all_have(u32 steps)
{
	for (struct vm *vm = vm_first(); vm; vm = vm->next) {
		struct guest *guest = vm->arch.test;

		for (u32 i = 0; i < vm->vcpu_count; i++)
			if (__atomic_load_n(&guest->steps[i], __ATOMIC_RELAXED) < steps)
				return false;
	}
	return true;
}

static void run_until(u32 steps, bool disturbed, u64 deadline)
{
	while (!all_have(steps)) {
		struct vm *vm = vm_first();

		MUST(now() < deadline);
		for (u32 i = pick(5); i; i--)
			sched_run_slice();
		for (u32 i = pick(VMS); i; i--)
			vm = vm->next;
		if (disturbed && !pick(10))
			disturb(vm);
	}
}

static void play(u32 processors)
{
	static const char *const names[VMS] = {"a", "b", "c"};
	pthread_t threads[PROCESSORS];
	pthread_condattr_t monotonic;
	u64 deadline = now() + (u64)SECONDS * NS_PER_SEC;

	fake_machine = (struct fake_machine){.counter_hz = NS_PER_SEC,
					     .vm_init = vm_init,
					     .vm_fini = vm_fini,
					     .now = now,
					     .kick = kick,
					     .sleep = sleep_until,
					     .host_irq = host_irq,
					     .run = run_guest,
					     .prepare_irq = prepare_irq,
					     .has_irq = has_irq};
	memset(cpus, 0, sizeof(cpus));
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	quiet = false;
	cpu_count = processors;
	for (u32 i = 0; i < processors; i++) {
		cpus[i].index = i;
		cpus[i].timer = i;
		pthread_mutex_init(&sleep_mutex[i], NULL);
		pthread_cond_init(&sleep_cond[i], &monotonic);
	}
	for (u32 i = 1; i < processors; i++)
		MUST(!pthread_create(&threads[i], NULL, processor, &cpus[i]));
	for (u32 i = 0; i < VMS; i++)
		make(names[i]);
	run_until(STEPS / 4, true, deadline);
	/* A timer's wakeup that is lost is not made good by anybody from here on. */
	__atomic_store_n(&quiet, true, __ATOMIC_RELAXED);
	run_until(STEPS / 2, false, deadline);
	for (struct vm *vm = vm_first(); vm; vm = vm->next) {
		vm_pause(vm);
		check(vm);
	}
	while (vm_first())
		vm_destroy(vm_first());
	for (u32 i = 1; i < processors; i++) {
		__atomic_store_n(&cpus[i].stop, 1, __ATOMIC_SEQ_CST);
		arch_cpu_kick(&cpus[i]);
		pthread_join(threads[i], NULL);
	}
	cpu_count = 1;
	assert_int_equal(machine_pool.free_pages, machine_pool.total_pages);
}

static void test_alone(void **state)
{
	(void)state;
	play(1);
}

static void test_with_one_more(void **state)
{
	(void)state;
	play(2);
}

static void test_with_three_more(void **state)
{
	(void)state;
	play(PROCESSORS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_alone),
		cmocka_unit_test(test_with_one_more),
		cmocka_unit_test(test_with_three_more),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
