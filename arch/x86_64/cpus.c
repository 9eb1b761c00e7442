/* SPDX-License-Identifier: MIT */
/*
 * The machine's other processors, which the firmware lends by its own calls: each has a stack of
 * anew's and anew's vectors from its arrival on, and goes back as it came.
 */
#include <arch/asm.h>
#include <arch/backend.h>
#include <arch/lapic.h>
#include <arch/processor.h>
#include <arch/relax.h>
#include <arch/vectors.h>
#include <internal/arch.h>
#include <internal/host.h>
#include <internal/sched.h>

#define STACK_PAGES 4u

/* How long one may take to arrive, or to leave: far more than any does. */
#define PATIENCE_SECONDS 10u

#define SYNC_ROUNDS 32u
/*
 * How far two counters may be apart for good, in nanoseconds: less than a message from one
 * processor to another takes, so that no guest can see its time go back.
 */
#define SYNC_NS ((u64)200)

/* Vectors of kicks, of which the firmware lends one on the boot CPU. */
#define KICK_FIRST 0xe0u
#define KICK_LAST  0xefu

/*
 * Who sets it: the boot CPU WANTED, UNWANTED, GO and RELEASED, the other one the rest. UNWANTED
 * stays for good, with all that the late one looks at.
 */
enum phase {
	WANTED,   /* the firmware was asked to send it */
	UNWANTED, /* too late: it is to go back at once */
	ARRIVED,
	REFUSED, /* it has gone back, for the reason cpu_start.why */
	READY,   /* it answers, for its counter to be compared */
	GO,      /* to the scheduler */
	RUNS,
	LEFT,     /* it has left the scheduler */
	RELEASED, /* nobody sends it anything any more */
	GONE,     /* back to the firmware */
};

/* At the lower end of its stack, which it is allocated with. */
struct cpu_start {
	u32 phase; /* atomic: enum phase */
	struct cpu *cpu;
	const char *why;
	/* Atomic. A question's number, and the answer to it: its counter. */
	u32 asked, answered;
	u64 answer;
	struct vectors_pointer vectors_before;
	struct lapic_before lapic;
};

void cpu_on_stack(void (*function)(void *ctx), void *ctx, void *top);

static u32 boot_id;      /* constant after arch_cpus_find() */
static bool others;      /* there may be other processors at work */
static u8 kick_vector;   /* constant after arch_cpus_find(); 0: nobody can be kicked */
static bool boot_kicked; /* the firmware lends it */

static u32 phase_of(const struct cpu_start *start)
{
	return __atomic_load_n(&start->phase, __ATOMIC_SEQ_CST);
}

static void set_phase(struct cpu_start *start, enum phase phase)
{
	__atomic_store_n(&start->phase, phase, __ATOMIC_SEQ_CST);
}

/* Whether it was @from, and is @to now. */
static bool change_phase(struct cpu_start *start, u32 from, enum phase to)
{
	return __atomic_compare_exchange_n(&start->phase, &from, (u32)to, false, __ATOMIC_SEQ_CST,
					   __ATOMIC_SEQ_CST);
}

/* ---- which one this is ---- */

bool arch_on_boot_cpu(void)
{
	return !others || lapic_id() == boot_id;
}

struct cpu *cpu_current(void)
{
	u32 id = lapic_id();

	/* One that starts isn't counted yet. */
	for (u32 i = 1; others && i <= cpu_count && i < CPU_MAX; i++)
		if (cpus[i].id == id)
			return &cpus[i];
	return cpu_boot();
}

/* ---- kicks ---- */

void arch_cpu_kick(struct cpu *cpu)
{
	__atomic_store_n(&cpu->kicked, 1, __ATOMIC_SEQ_CST);
	if (kick_vector && (cpu != cpu_boot() || boot_kicked))
		lapic_send((u32)cpu->id, kick_vector);
}

/* On the boot CPU, as a handler of the firmware's: that it came is all. */
static void boot_kick(void)
{
	lapic_eoi();
	cpu_stop_in_panic();
}

static void find_kick_vector(void)
{
	u32 vector = KICK_LAST;

	while (vector >= KICK_FIRST && host_interrupt_set((u8)vector, boot_kick))
		vector--;
	boot_kicked = vector >= KICK_FIRST;
	kick_vector = boot_kicked ? (u8)vector : KICK_LAST;
	if (!boot_kicked)
		log_warn("the firmware has no interrupt to lend: what the boot processor has to do "
			 "for others waits for its tick of 1 ms");
}

/* ---- finding ---- */

u32 arch_cpus_find(void)
{
	u64 ids[CPU_MAX];
	u32 count;

	boot_id = lapic_id();
	cpu_boot()->id = boot_id;
	count = host_cpus(ids, CPU_MAX - 1);
	if (!count)
		return 1;
	if (lapic_init()) {
		log_warn("the boot processor's local APIC is off: the other %u processors stay "
			 "unused",
			 count);
		return 1;
	}
	find_kick_vector();
	others = true;
	for (u32 i = 0; i < count; i++) {
		cpus[i + 1].index = i + 1;
		cpus[i + 1].id = ids[i];
	}
	return count + 1;
}

void cpu_boot_end(void)
{
	if (boot_kicked && host_interrupt_set(kick_vector, NULL))
		log_warn("the firmware doesn't take its interrupt %u back", kick_vector);
	boot_kicked = false;
	kick_vector = 0;
	others = false;
}

/* ---- the other processor's side ---- */

/* What comes before or after its turn with the scheduler. Returns why it can't, or NULL. */
static const char *begin(struct cpu_start *start)
{
	struct cpu *cpu = start->cpu;
	const char *why;

	if (!vectors_fit())
		return "its code segment isn't the boot processor's";
	__asm__ volatile("sidt %0" : "=m"(start->vectors_before));
	__asm__ volatile("lidt %0" : : "m"(vectors_own));
	why = lapic_begin(&start->lapic);
	if (!why && arch_cpu_on(cpu)) {
		lapic_end(&start->lapic);
		why = "virtualisation can't be turned on there";
	}
	if (why)
		__asm__ volatile("lidt %0" : : "m"(start->vectors_before));
	return why;
}

static void end(struct cpu_start *start)
{
	arch_cpu_off(start->cpu);
	lapic_timer(UINT64_MAX);
	/* A kick, or the timer, may have come after all: not to the firmware. */
	__asm__ volatile("sti; nop; cli" : : : "memory");
	lapic_end(&start->lapic);
	__asm__ volatile("lidt %0" : : "m"(start->vectors_before));
}

/* Answers until it may go; false: it may not. */
static bool answer(struct cpu_start *start)
{
	u32 answered = 0, asked;

	while (phase_of(start) == READY) {
		asked = __atomic_load_n(&start->asked, __ATOMIC_SEQ_CST);
		if (asked == answered) {
			cpu_relax();
			continue;
		}
		__atomic_store_n(&start->answer, rdtsc_ordered(), __ATOMIC_SEQ_CST);
		answered = asked;
		__atomic_store_n(&start->answered, answered, __ATOMIC_SEQ_CST);
	}
	return phase_of(start) == GO;
}

static void work(void *ctx)
{
	struct cpu_start *start = ctx;

	start->why = begin(start);
	if (start->why) {
		set_phase(start, REFUSED);
		return;
	}
	if (change_phase(start, ARRIVED, READY) && answer(start)) {
		set_phase(start, RUNS);
		sched_main(start->cpu);
		set_phase(start, LEFT);
		while (phase_of(start) != RELEASED)
			cpu_relax();
	}
	end(start);
	set_phase(start, GONE);
}

/* Where the firmware sends it, with its interrupts off and on a small stack. */
static void arrive(void *ctx)
{
	struct cpu_start *start = ctx;
	u64 flags;

	if (!change_phase(start, WANTED, ARRIVED))
		return;
	__asm__ volatile("pushfq; popq %0; cli" : "=r"(flags) : : "memory");
	cpu_on_stack(work, start, (u8 *)start + STACK_PAGES * PAGE_SIZE);
	__asm__ volatile("pushq %0; popfq" : : "r"(flags) : "memory", "cc");
}

/* ---- the boot CPU's side ---- */

/* Waits until @start's phase is @phase or a later one. */
static bool wait_for(const struct cpu_start *start, enum phase phase)
{
	u64 begin = arch_counter();

	while (phase_of(start) < phase) {
		if (arch_counter() - begin > PATIENCE_SECONDS * arch_counter_hz())
			return false;
		cpu_relax();
	}
	return true;
}

static bool ask(struct cpu_start *start, u32 number)
{
	u64 begin = arch_counter();

	__atomic_store_n(&start->asked, number, __ATOMIC_SEQ_CST);
	while (__atomic_load_n(&start->answered, __ATOMIC_SEQ_CST) != number) {
		if (arch_counter() - begin > PATIENCE_SECONDS * arch_counter_hz())
			return false;
		cpu_relax();
	}
	return true;
}

/*
 * The answer was read between question and receipt, so that the other counter is ahead by at least
 * one difference and at most the other. Returns by how many ticks it is ahead or behind for sure.
 */
static bool compare_counters(struct cpu_start *start, u64 *apart)
{
	s64 least = INT64_MIN, most = INT64_MAX;

	for (u32 i = 1; i <= SYNC_ROUNDS; i++) {
		u64 before = rdtsc_ordered();

		if (!ask(start, i))
			return false;

		u64 answered = __atomic_load_n(&start->answer, __ATOMIC_SEQ_CST);
		s64 ahead_most = (s64)(answered - before);
		s64 ahead_least = (s64)(answered - rdtsc_ordered());

		most = ahead_most < most ? ahead_most : most;
		least = ahead_least > least ? ahead_least : least;
	}
	*apart = least > 0 ? (u64)least : most < 0 ? (u64)-most : 0;
	return true;
}

static const char *meet(struct cpu_start *start)
{
	u64 apart;

	if (!wait_for(start, REFUSED))
		return "it didn't come within 10 s";
	if (!wait_for(start, READY))
		return start->why;
	if (!compare_counters(start, &apart))
		return "it doesn't answer";
	if (muldiv_u64(apart, NS_PER_SEC, arch_counter_hz()) > SYNC_NS)
		return "its time-stamp counter isn't that of the boot processor";
	set_phase(start, GO);
	return wait_for(start, RUNS) ? NULL : "it didn't begin";
}

static void free_cpu(struct cpu *cpu)
{
	host_free_pages(cpu->arch.start, STACK_PAGES);
	host_free_pages(cpu->arch.pages, CPU_PAGES);
	cpu->arch.start = NULL;
	cpu->arch.pages = NULL;
}

static enum hv_error refused(const struct cpu *cpu, const char *why)
{
	log_warn("processor with APIC id %llu is left out: %s", (unsigned long long)cpu->id, why);
	return HV_EUNSUPPORTED;
}

enum hv_error arch_cpu_start(struct cpu *cpu)
{
	struct cpu_start *start = host_alloc_pages(STACK_PAGES);
	const char *why;
	u32 phase;

	cpu->arch.start = start;
	cpu->arch.pages = host_alloc_pages(CPU_PAGES);
	if (!start || !cpu->arch.pages) {
		free_cpu(cpu);
		return refused(cpu, "no memory for its stack");
	}
	*start = (struct cpu_start){.phase = WANTED, .cpu = cpu};
	if (host_cpu_start(cpu->id, arrive, start)) {
		free_cpu(cpu);
		return refused(cpu, "the firmware doesn't start it");
	}
	why = meet(start);
	if (!why)
		return HV_OK;
	phase = __atomic_exchange_n(&start->phase, UNWANTED, __ATOMIC_SEQ_CST);
	/* What it may still come back to stays. */
	if (phase == REFUSED && host_cpu_wait(cpu->id))
		free_cpu(cpu);
	cpu->arch.start = NULL;
	return refused(cpu, why);
}

void arch_cpu_stop(struct cpu *cpu)
{
	struct cpu_start *start = cpu->arch.start;

	if (wait_for(start, LEFT)) {
		set_phase(start, RELEASED);
		if (wait_for(start, GONE) && host_cpu_wait(cpu->id)) {
			free_cpu(cpu);
			return;
		}
	}
	log_error("processor with APIC id %llu doesn't go back to the firmware",
		  (unsigned long long)cpu->id);
}

/* ---- interrupts of the other ones ---- */

void arch_cpu_sleep(struct cpu *cpu, u64 until)
{
	lapic_timer(until);
	if (!__atomic_load_n(&cpu->kicked, __ATOMIC_SEQ_CST))
		/* What comes in before is taken once HLT has begun: APM vol. 3, STI. */
		__asm__ volatile("sti; hlt; cli" : : : "memory");
}

void arch_cpu_timer(struct cpu *cpu, u64 at)
{
	cpu->arch.timer_at = at;
	lapic_timer(at);
}

bool arch_host_irq(struct vcpu *vcpu)
{
	struct cpu *cpu = vcpu->cpu;

	if (cpu == cpu_boot())
		return false;
	x86_backend->take_interrupts();
	cpu_stop_in_panic();
	if (arch_counter() >= cpu->arch.timer_at)
		return false;
	/* It may have been that, a little early. */
	lapic_timer(cpu->arch.timer_at);
	return true;
}
