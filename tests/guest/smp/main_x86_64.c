/* SPDX-License-Identifier: MIT */
/*
 * Several processors: how they are started and stopped, every form of interprocessor interrupt,
 * time, and floods from each to each with every arrival checked. The command line is their number,
 * how often each sends to each other in a flood, and what comes at the end: "wait" for a key while
 * all others spin with interrupts off, or "bad" to start one where there is no sensible code.
 */
#include "smp_x86_64.h"
#include <stdlib.h>
#include <string.h>

#define VECTOR_NMI   2
#define VECTOR_HIT   0x50
#define VECTOR_TIMER 0x60
#define VECTOR_FLOOD 0x70 /* and on: one for each sender */

#define MSR_APIC_BASE    0x1bu
#define MSR_TSC_ADJUST   0x3bu
#define MSR_TSC_DEADLINE 0x6e0u
#define BASE_BSP         0x100u
#define APIC_LVT_TIMER   0x320
#define APIC_SELF_IPI    0x3f0
#define LVT_DEADLINE     0x40000u

#define NOBODY  77u
#define TSC_FAR ((uint64_t)1 << 40)
/* Of the counter, whose rate is some GHz. */
#define PATIENCE ((uint64_t)60000000000)
#define MOMENT   ((uint64_t)20000000)

extern uint32_t boot_ebx;

static uint32_t count, rounds;
static volatile uint32_t ready[SMP_MAX], hits[SMP_MAX], nmis[SMP_MAX], timers[SMP_MAX];
static void (*volatile jobs[SMP_MAX])(uint32_t id);
static volatile uint64_t spins;

/* ---- what all of them do ---- */

/* False: it was waited for too long. */
static bool wait_for(volatile const uint32_t *word, uint32_t value)
{
	uint64_t begin = rdtsc();

	while (*word != value) {
		if (rdtsc() - begin > PATIENCE)
			return false;
		cpu_relax();
	}
	return true;
}

static void moment(void)
{
	uint64_t begin = rdtsc();

	while (rdtsc() - begin < MOMENT)
		cpu_relax();
}

static void hit(uint64_t vector, uint64_t *frame)
{
	(void)vector;
	(void)frame;
	hits[smp_id()]++;
	apic_write(APIC_EOI, 0);
}

static void nmi(uint64_t vector, uint64_t *frame)
{
	(void)vector;
	(void)frame;
	nmis[smp_id()]++;
}

static void timer(uint64_t vector, uint64_t *frame)
{
	(void)vector;
	(void)frame;
	timers[smp_id()]++;
	apic_write(APIC_EOI, 0);
}

static void set_flat(uint32_t id)
{
	apic_write(APIC_DFR, 0xffffffff);
	apic_write(APIC_LDR, 1u << (24 + id));
}

static void set_cluster(uint32_t id)
{
	apic_write(APIC_DFR, 0x0fffffff);
	apic_write(APIC_LDR, (id / 4 + 1) << 28 | 1u << (24 + id % 4));
}

/* What the others do all the time: jobs, with interrupts on. */
static void serve(uint32_t id)
{
	apic_write(APIC_SVR, 0x1ff);
	ready[id]++;
	__asm__ volatile("sti");
	for (;;) {
		if (jobs[id]) {
			jobs[id](id);
			jobs[id] = NULL;
		}
		cpu_relax();
	}
}

static void set_job(uint32_t id, void (*job)(uint32_t id))
{
	jobs[id] = job;
}

static bool job_done(uint32_t id)
{
	uint64_t begin = rdtsc();

	while (jobs[id]) {
		if (rdtsc() - begin > PATIENCE)
			return false;
		cpu_relax();
	}
	return true;
}

/* On all of them at once, this one as well. */
static void run_everywhere(void (*job)(uint32_t id))
{
	bool done = true;

	for (uint32_t i = 1; i < count; i++)
		set_job(i, job);
	job(0);
	for (uint32_t i = 1; i < count; i++)
		done &= job_done(i);
	if (!done)
		report(false, "all processors do what they are told");
}

/* ---- starting ---- */

static bool start(uint32_t id, uint32_t page)
{
	uint32_t begun = smp_begun(id);
	uint64_t begin = rdtsc();

	apic_send(id, ICR_INIT | ICR_ASSERT | ICR_LEVEL);
	apic_send(id, ICR_INIT | ICR_LEVEL);
	apic_send(id, ICR_STARTUP | ICR_ASSERT | page);
	apic_send(id, ICR_STARTUP | ICR_ASSERT | page);
	while (smp_begun(id) == begun && rdtsc() - begin < PATIENCE)
		cpu_relax();
	return smp_begun(id) == begun + 1;
}

static volatile uint32_t wrong_id, boot_flags;

static void check_id(uint32_t id)
{
	if (smp_id() != id || apic_read(APIC_ID) >> 24 != id)
		__atomic_fetch_add(&wrong_id, 1, __ATOMIC_SEQ_CST);
	if (rdmsr(MSR_APIC_BASE) & BASE_BSP)
		__atomic_fetch_or(&boot_flags, 1u << id, __ATOMIC_SEQ_CST);
}

static void test_start(void)
{
	for (uint32_t i = 1; i < count; i++) {
		smp_body(i, serve);
		report(start(i, SMP_PAGE) && wait_for(&ready[i], 1), "processor %u starts", i);
	}
	run_everywhere(check_id);
	report(!wrong_id && boot_flags == 1, "each has its own id, and one is the first (%u, %xh)",
	       wrong_id, boot_flags);
	for (uint32_t i = 1; i < count; i++)
		apic_send(i, ICR_STARTUP | ICR_ASSERT | SMP_PAGE);
	moment();
	run_everywhere(check_id);
	report(smp_begun(1) == 1, "a start-up IPI is nothing to one that runs");
}

static void spin(uint32_t id)
{
	(void)id;
	__asm__ volatile("cli");
	for (;;)
		spins++;
}

static void test_init(void)
{
	uint64_t before, begin;
	uint32_t seen = nmis[1];

	set_job(1, spin);
	for (before = spins; spins < before + 1000;)
		cpu_relax();
	apic_send(1, ICR_INIT | ICR_ASSERT);
	begin = rdtsc();
	do {
		before = spins;
		moment();
	} while (spins != before && rdtsc() - begin < PATIENCE);
	report(spins == before, "INIT stops one that spins with interrupts off");
	apic_send(1, ICR_NMI | ICR_ASSERT);
	apic_send(1, ICR_ASSERT | VECTOR_HIT);
	moment();
	report(nmis[1] == seen && spins == before, "nothing but a start-up IPI is for it then");
	jobs[1] = NULL;
	report(start(1, SMP_PAGE + 1) && wait_for(&ready[1], 2), "it starts again, elsewhere");
	report(nmis[1] == seen, "without what came before");
	apic_send(1, ICR_INIT | ICR_ASSERT);
	report(start(1, SMP_PAGE) && wait_for(&ready[1], 3), "and after two INITs");
}

/* ---- the forms of an IPI ---- */

static void forget_hits(void)
{
	for (uint32_t i = 0; i < SMP_MAX; i++)
		hits[i] = 0;
}

static uint32_t hit_mask(void)
{
	uint32_t mask = 0;

	for (uint32_t i = 0; i < SMP_MAX; i++)
		mask |= (uint32_t)(hits[i] != 0) << i;
	return mask;
}

/*
 * Who was hit, when @wanted were, or any for 0, and a moment later; where one was hit twice,
 * nobody.
 */
static uint32_t who(uint32_t wanted)
{
	uint64_t begin = rdtsc();
	uint32_t mask;

	__asm__ volatile("sti");
	while ((wanted ? hit_mask() != wanted : !hit_mask()) && rdtsc() - begin < PATIENCE)
		cpu_relax();
	moment();
	__asm__ volatile("cli");
	mask = hit_mask();
	for (uint32_t i = 0; i < SMP_MAX; i++)
		if (hits[i] > 1)
			mask = 0;
	forget_hits();
	return mask;
}

static void check_hits(const char *what, uint32_t dest, uint32_t command, uint32_t wanted)
{
	uint32_t mask;

	apic_send(dest, command | ICR_ASSERT | VECTOR_HIT);
	/* This one comes last: nobody is hit before it but by what was sent before. */
	if (!wanted)
		apic_send(0, ICR_TO_SELF | ICR_ASSERT | VECTOR_HIT);
	mask = who(wanted ? wanted : 1);
	if (!wanted)
		mask &= ~1u;
	report(mask == wanted, "%s (%xh of %xh)", what, mask, wanted);
}

static void test_forms(const char *mode, bool x2apic)
{
	uint32_t all = (1u << count) - 1, ends = 1u | 1u << (count - 1);
	uint32_t everybody = x2apic ? 0xffffffff : 0xff, mask;

	print("%s\n", mode);
	forget_hits();
	for (uint32_t i = 0; i < count; i++)
		check_hits("physical", i, 0, 1u << i);
	check_hits("to everybody", everybody, 0, all);
	check_hits("to itself", 0, ICR_TO_SELF, 1);
	check_hits("to all", 0, ICR_TO_ALL, all);
	check_hits("to all others", 0, ICR_TO_OTHERS, all & ~1u);
	check_hits("to nobody", NOBODY, 0, 0);
	if (x2apic) {
		check_hits("logical", ends, ICR_LOGICAL, ends);
		check_hits("logical, another cluster", 1u << 16 | ends, ICR_LOGICAL, 0);
		wrmsr(0x800 + APIC_SELF_IPI / 16, VECTOR_HIT);
		report(who(1) == 1, "the self-IPI register");
	} else {
		run_everywhere(set_flat);
		check_hits("flat", ends, ICR_LOGICAL, ends);
		check_hits("flat, to nobody", 0, ICR_LOGICAL, 0);
		run_everywhere(set_cluster);
		check_hits("cluster", 0x1f, ICR_LOGICAL, all & 15);
		check_hits("another cluster", 0x7f, ICR_LOGICAL, 0);
		run_everywhere(set_flat);
	}
	apic_send(all, ICR_LOWEST | ICR_LOGICAL | ICR_ASSERT | VECTOR_HIT);
	mask = who(0);
	report(mask && !(mask & (mask - 1)) && mask <= all, "lowest priority is for one (%xh)",
	       mask);
	for (uint32_t i = 1; i < count; i++) {
		uint32_t before = nmis[i];

		apic_send(i, ICR_NMI | ICR_ASSERT);
		report(wait_for(&nmis[i], before + 1), "NMI for %u", i);
	}
}

/* ---- time ---- */

static volatile uint32_t turn, backwards;
static volatile uint64_t last_tsc;

static void compare_tsc(uint32_t id)
{
	(void)id;
	for (int i = 0; i < 300; i++) {
		uint64_t now;

		while (__atomic_exchange_n(&turn, 1, __ATOMIC_ACQUIRE))
			cpu_relax();
		now = rdtsc();
		if (now < last_tsc)
			backwards++;
		last_tsc = now;
		__atomic_store_n(&turn, 0, __ATOMIC_RELEASE);
	}
}

static void deadline(uint32_t id)
{
	uint32_t before = timers[id];

	apic_write(APIC_LVT_TIMER, LVT_DEADLINE | VECTOR_TIMER);
	__asm__ volatile("sti");
	wrmsr(MSR_TSC_DEADLINE, rdtsc() + MOMENT);
	if (!wait_for(&timers[id], before + 1))
		report(false, "the timer of %u", id);
	if (!id)
		__asm__ volatile("cli");
}

static void go_far(uint32_t id)
{
	(void)id;
	wrmsr(MSR_TSC_ADJUST, TSC_FAR);
	last_tsc = rdtsc();
}

static void come_back(uint32_t id)
{
	(void)id;
	wrmsr(MSR_TSC_ADJUST, 0);
}

static void test_time(void)
{
	run_everywhere(compare_tsc);
	report(!backwards, "no processor is behind another one (%u)", backwards);
	run_everywhere(deadline);
	report(true, "each has its own timer");
	set_job(1, go_far);
	report(job_done(1) && last_tsc - rdtsc() > TSC_FAR / 2 && last_tsc > TSC_FAR,
	       "the counter of one alone can be moved");
	set_job(1, deadline);
	report(job_done(1), "and its timer with it");
	set_job(1, come_back);
	report(job_done(1), "and back");
	last_tsc = 0;
	run_everywhere(compare_tsc);
	report(!backwards, "where they all are");
}

/* ---- the flood ---- */

/* Written by the receiver: how many came from each. */
static volatile uint32_t arrived[SMP_MAX][SMP_MAX];
static volatile uint32_t late;

static void flood_arrived(uint64_t vector, uint64_t *frame)
{
	(void)frame;
	arrived[smp_id()][vector - VECTOR_FLOOD]++;
	apic_write(APIC_EOI, 0);
}

/* To all others, each time after all have come: one that is lost is noticed, and one too many. */
static void flood(uint32_t id)
{
	__asm__ volatile("sti");
	for (uint32_t i = 1; i <= rounds; i++) {
		for (uint32_t to = 0; to < count; to++)
			if (to != id)
				apic_send(to, ICR_ASSERT | (VECTOR_FLOOD + id));
		for (uint32_t to = 0; to < count; to++) {
			if (to == id || wait_for(&arrived[to][id], i))
				continue;
			late++;
			return;
		}
	}
}

static void test_flood(const char *mode)
{
	uint32_t wrong = 0;

	for (uint32_t i = 0; i < SMP_MAX; i++)
		for (uint32_t j = 0; j < SMP_MAX; j++)
			arrived[i][j] = 0;
	late = 0;
	run_everywhere(flood);
	__asm__ volatile("cli");
	for (uint32_t to = 0; to < count; to++)
		for (uint32_t from = 0; from < count; from++)
			wrong += arrived[to][from] != (to == from ? 0 : rounds);
	report(!late && !wrong, "%u IPIs from each to each, %s: all have come (%u, %u)",
	       rounds * count * (count - 1), mode, late, wrong);
}

/* ---- the end ---- */

static void wait_while_they_spin(void)
{
	for (uint32_t i = 1; i < count; i++)
		set_job(i, spin);
	moment();
	print("smp: all others spin\n");
	wait_for_key();
	report(true, "a key was typed");
}

/* An interrupt without a table: lidt and int3. */
static void start_badly(void)
{
	static const uint8_t code[] = {0x2e, 0x0f, 0x01, 0x1e, 0x10, 0x00, 0xcc};

	memset((void *)(SMP_PAGE << 12), 0, 0x20);
	memcpy((void *)(SMP_PAGE << 12), code, sizeof(code));
	print("smp: one starts badly\n");
	start(1, SMP_PAGE);
	report(false, "it ends the machine");
}

static const char *command_line(void)
{
	/* PVH: struct hvm_start_info. */
	const char *const *cmdline = (const char *const *)(uint64_t)(boot_ebx + 24);

	return *cmdline ? *cmdline : "";
}

static void everywhere_x2apic(uint32_t id)
{
	(void)id;
	apic_x2apic();
}

void payload_main(void)
{
	char *rest;

	count = (uint32_t)strtoul(command_line(), &rest, 10);
	rounds = (uint32_t)strtoul(rest, &rest, 10);
	if (count < 2 || count > SMP_MAX) {
		print("ERROR: the command line has no number of processors: %s\n", command_line());
		payload_exit(PAYLOAD_ERROR);
	}
	on_interrupt(VECTOR_HIT, hit);
	on_interrupt(VECTOR_NMI, nmi);
	on_interrupt(VECTOR_TIMER, timer);
	for (uint32_t i = 0; i < SMP_MAX; i++)
		on_interrupt(VECTOR_FLOOD + i, flood_arrived);
	apic_write(APIC_SVR, 0x1ff);
	smp_prepare();
	test_start();
	if (strstr(rest, "bad")) {
		start_badly();
		return;
	}
	test_forms("xAPIC", false);
	test_init();
	test_time();
	test_flood("xAPIC");
	run_everywhere(everywhere_x2apic);
	test_forms("x2APIC", true);
	test_flood("x2APIC");
	if (strstr(rest, "wait"))
		wait_while_they_spin();
}
