/* SPDX-License-Identifier: MIT */
/*
 * Several processors: PSCI with all its answers, SGIs from all to all of which each arrival is
 * checked, and interrupts that another processor has. "rounds=N" among the boot arguments says how
 * often everybody sends to everybody, "spin" that all just spin with interrupts off until a key.
 */
#include "gic_arm64.h"
#include "payload.h"

#include <libfdt.h>
#include <stdlib.h>
#include <string.h>

#define CPUS_MAX 8
/* Shared, without a line that could rise. */
#define SPI 40u
/* SGIs: by the sender's number when all send to all, and one that is only to wake. */
#define SGI_WAKE 15u
/* Far longer than anything takes, in counter ticks. */
#define PATIENCE (60 * sysreg_read("cntfrq_el0"))
#define ROUNDS   200u
#define RACES    50u

static unsigned int cpus;
static unsigned int rounds = ROUNDS;

#define load(p)     __atomic_load_n(p, __ATOMIC_ACQUIRE)
#define store(p, v) __atomic_store_n(p, v, __ATOMIC_RELEASE)

/* Whether *@word becomes @value before long. */
static bool becomes(uint32_t *word, uint32_t value)
{
	uint64_t begin = sysreg_read("cntvct_el0");

	while (load(word) != value) {
		if (sysreg_read("cntvct_el0") - begin > PATIENCE)
			return false;
		cpu_relax();
	}
	return true;
}

static int64_t affinity(unsigned int cpu)
{
	return (int64_t)hvc(PSCI_AFFINITY_INFO, cpu, 0);
}

static bool goes_off(unsigned int cpu)
{
	uint64_t begin = sysreg_read("cntvct_el0");

	while (affinity(cpu) != 1) {
		if (sysreg_read("cntvct_el0") - begin > PATIENCE)
			return false;
		cpu_relax();
	}
	return true;
}

static void read_arguments(void)
{
	int chosen = fdt_path_offset(payload_dtb, "/chosen"), node;
	int parent = fdt_path_offset(payload_dtb, "/cpus");
	const char *text = fdt_getprop(payload_dtb, chosen, "bootargs", NULL);
	const char *found = text ? strstr(text, "rounds=") : NULL;

	if (found)
		rounds = (unsigned int)strtoul(found + 7, NULL, 10);
	fdt_for_each_subnode(node, payload_dtb, parent)
	{
		const char *type = fdt_getprop(payload_dtb, node, "device_type", NULL);

		cpus += type && !strcmp(type, "cpu");
	}
}

static bool wants(const char *what)
{
	int chosen = fdt_path_offset(payload_dtb, "/chosen");
	const char *text = fdt_getprop(payload_dtb, chosen, "bootargs", NULL);

	return text && strstr(text, what);
}

/* ---- PSCI ---- */

static struct cpu_began began_with;
static uint32_t came[CPUS_MAX], leave;

/* Comes, waits until it may leave, and goes off. */
static void visit(unsigned int cpu, const struct cpu_began *began)
{
	began_with = *began;
	store(&came[cpu], 1);
	while (!load(&leave))
		cpu_relax();
	store(&came[cpu], 0);
}

static void test_answers(void)
{
	uint64_t good = (uint64_t)payload_cpu_start;

	report((int64_t)hvc(PSCI_CPU_ON, cpus, good, 0) == PSCI_INVALID_PARAMS,
	       "CPU_ON: no such CPU");
	report((int64_t)hvc(PSCI_CPU_ON, 1ull << 32 | 1, good, 0) == PSCI_INVALID_PARAMS,
	       "CPU_ON: no such Aff3");
	report((int64_t)hvc(PSCI_CPU_ON, 0, good, 0) == PSCI_ALREADY_ON, "CPU_ON: itself");
	report((int64_t)hvc(PSCI_CPU_ON, 1, TESTDEV_BASE, 0) == PSCI_INVALID_ADDR,
	       "CPU_ON: at a device");
	report((int64_t)hvc(PSCI_CPU_ON, 1, ~0ull - 3, 0) == PSCI_INVALID_ADDR,
	       "CPU_ON: at no address");
	report((int64_t)hvc(PSCI_CPU_ON, 1, good + 2, 0) == PSCI_INVALID_ADDR,
	       "CPU_ON: within an instruction");
	report(affinity(cpus) == PSCI_INVALID_PARAMS, "AFFINITY_INFO: no such CPU");
	report((int64_t)hvc(PSCI_AFFINITY_INFO, 0, 1) == PSCI_INVALID_PARAMS,
	       "AFFINITY_INFO: of a cluster");
	report(affinity(0) == 0 && affinity(1) == 1, "AFFINITY_INFO: on and off");
	report((int64_t)hvc(PSCI_CPU_OFF) == PSCI_DENIED, "CPU_OFF: the last one");
}

static void test_on_and_off(void)
{
	store(&leave, 0);
	report(cpu_start(1, visit) == 0 && becomes(&came[1], 1), "CPU_ON: it comes");
	report(!(began_with.sctlr & 1) && began_with.daif == 0xf << 6 && began_with.el == 1 << 2,
	       "it begins at EL1, MMU off, all masked");
	report(cpu_start(1, visit) == PSCI_ALREADY_ON && affinity(1) == 0, "it is on");
	store(&leave, 1);
	report(goes_off(1), "CPU_OFF: it goes");
	store(&leave, 0);
	report(cpu_start(1, visit) == 0 && becomes(&came[1], 1), "and comes again");
	store(&leave, 1);
	report(goes_off(1), "and goes again");
}

static uint32_t race, wins, tries;

/* Once in each race, tries to start the last processor. */
static void racer(unsigned int cpu, const struct cpu_began *began)
{
	(void)cpu;
	(void)began;
	for (uint32_t i = 1; i <= RACES; i++) {
		if (!becomes(&race, i))
			return;
		if (!hvc(PSCI_CPU_ON, cpus - 1, (uint64_t)payload_cpu_start, cpus - 1))
			__atomic_add_fetch(&wins, 1, __ATOMIC_ACQ_REL);
		__atomic_add_fetch(&tries, 1, __ATOMIC_ACQ_REL);
	}
}

/* The body is one for all: who it is says what it does. */
static void race_body(unsigned int cpu, const struct cpu_began *began)
{
	if (cpu == cpus - 1)
		visit(cpu, began);
	else
		racer(cpu, began);
}

static void test_race(void)
{
	bool good = true;

	for (unsigned int cpu = 1; cpu < cpus - 1; cpu++)
		good &= cpu_start(cpu, race_body) == 0;
	for (uint32_t i = 1; i <= RACES && good; i++) {
		store(&leave, 0);
		store(&tries, 0);
		store(&wins, 0);
		store(&race, i);
		good = becomes(&tries, cpus - 2) && load(&wins) == 1 && becomes(&came[cpus - 1], 1);
		store(&leave, 1);
		good &= goes_off(cpus - 1);
	}
	report(good, "CPU_ON: of several at once exactly one starts it, %u times", RACES);
	for (unsigned int cpu = 1; cpu < cpus - 1; cpu++)
		good &= goes_off(cpu);
	report(good, "all are off again");
}

/* ---- interrupts ---- */

static uint32_t ready, go, ended, woken;

static void wake(uint64_t number, uint64_t *frame)
{
	(void)number;
	(void)frame;
	store(&woken, 1);
}

static void begin(void)
{
	gic_init_cpu();
	for (uint32_t id = 0; id < 16; id++)
		gic_enable(id);
}

/* Suspends until it is woken. */
static void suspends(unsigned int cpu, const struct cpu_began *began)
{
	(void)cpu;
	(void)began;
	begin();
	store(&ready, 1);
	while (!load(&woken)) {
		if (hvc(PSCI_CPU_SUSPEND, 0, 0, 0)) {
			print("ERROR: CPU_SUSPEND refused\n");
			payload_exit(PAYLOAD_ERROR);
		}
		irq_window();
	}
}

static void test_suspend(void)
{
	store(&ready, 0);
	store(&woken, 0);
	on_interrupt(SGI_WAKE, wake);
	report(cpu_start(1, suspends) == 0 && becomes(&ready, 1), "it is about to suspend");
	gic_send(SGI_WAKE, 1);
	report(becomes(&woken, 1) && goes_off(1), "CPU_SUSPEND: an SGI ends it");
}

/* Nobody has a number like that; and those that have it don't get it. */
static void test_nobody(void)
{
	store(&woken, 0);
	gic_send(SGI_WAKE, cpus);
	if (gic_version == 3) {
		/* Another cluster's, and no target at all. */
		sysreg_write("S3_0_C12_C11_5", 1ull << 16 | 0xffff | (uint64_t)SGI_WAKE << 24);
		sysreg_write("S3_0_C12_C11_5", (uint64_t)SGI_WAKE << 24);
	}
	irq_window();
	report(!load(&woken), "SGIs to nobody: nobody has them");
}

/* Has the shared interrupt in hand until it may let go. */
static void holder(uint64_t number, uint64_t *frame)
{
	(void)number;
	(void)frame;
	store(&came[1], 1);
	while (!load(&leave))
		cpu_relax();
	store(&came[1], 2);
}

static void takes_spi(unsigned int cpu, const struct cpu_began *began)
{
	(void)cpu;
	(void)began;
	begin();
	store(&ready, 1);
	irq_on();
	while (!load(&ended))
		cpu_relax();
	irq_off();
}

static void test_elsewhere(void)
{
	store(&ready, 0);
	store(&ended, 0);
	store(&leave, 0);
	store(&came[1], 0);
	on_interrupt(SPI, holder);
	gic_set_edge(SPI, true);
	gic_route(SPI, 1);
	gic_enable(SPI);
	report(cpu_start(1, takes_spi) == 0 && becomes(&ready, 1), "another takes interrupts");
	gic_set_pending(SPI);
	report(becomes(&came[1], 1), "an SPI goes to where it is routed");
	report(gic_is_active(SPI) && !gic_is_pending(SPI), "it is active there, as seen from here");
	gic_set_pending(SPI);
	report(gic_is_active(SPI) && gic_is_pending(SPI), "and pending again");
	gic_clear_pending(SPI);
	report(gic_is_active(SPI) && !gic_is_pending(SPI), "and no longer");
	store(&leave, 1);
	report(becomes(&came[1], 2), "it is let go");
	for (uint32_t i = 0; i < 1000 && gic_is_active(SPI); i++)
		cpu_relax();
	report(!gic_is_active(SPI), "it is not active any more");
	/* Nobody but its holder could take it before that: it comes once for each time. */
	store(&came[1], 0);
	gic_set_pending(SPI);
	report(becomes(&came[1], 2), "and comes again");
	gic_disable(SPI);
	store(&ended, 1);
	report(goes_off(1), "it is off");
}

/* ---- all to all ---- */

/* SGIs by which the receiver answers, where senders sleep meanwhile: these and its number. */
#define SGI_ANSWER 8u

/*
 * [from][to]: @from has sent so many SGIs of its number to @to, who has seen so many and answered
 * them, of which @from has seen so many.
 */
static uint32_t sent[CPUS_MAX][CPUS_MAX], seen[CPUS_MAX][CPUS_MAX], answered[CPUS_MAX][CPUS_MAX];
static uint32_t wrong;
static bool sleeping;

/* One is on its way at a time. */
static void count(uint32_t *counter, uint32_t wanted)
{
	if (*counter + 1 != wanted)
		__atomic_add_fetch(&wrong, 1, __ATOMIC_RELAXED);
	store(counter, *counter + 1);
}

static void arrived(uint64_t number, uint64_t *frame)
{
	unsigned int from = (unsigned int)number, to = cpu_index();

	(void)frame;
	count(&seen[from][to], load(&sent[from][to]));
	if (sleeping)
		gic_send(SGI_ANSWER + to, from);
}

static void answer_arrived(uint64_t number, uint64_t *frame)
{
	unsigned int from = cpu_index(), to = (unsigned int)number - SGI_ANSWER;

	(void)frame;
	count(&answered[from][to], load(&seen[from][to]));
}

/* Sleeps until all have answered; an interrupt that is held back ends WFI as well. */
static void sleep_until_answered(unsigned int cpu)
{
	irq_off();
	for (unsigned int to = 0; to < cpus;) {
		if (answered[cpu][to] == sent[cpu][to]) {
			to++;
			continue;
		}
		__asm__ volatile("dsb sy\n wfi" : : : "memory");
		irq_window();
	}
	irq_on();
}

static void flood(unsigned int cpu)
{
	for (unsigned int i = 0; i < rounds; i++) {
		for (unsigned int to = 0; to < cpus; to++) {
			store(&sent[cpu][to], sent[cpu][to] + 1);
			gic_send(cpu, to);
		}
		if (sleeping)
			sleep_until_answered(cpu);
		for (unsigned int to = 0; to < cpus; to++) {
			if (becomes(&seen[cpu][to], sent[cpu][to]))
				continue;
			print("FAIL: SGI %u to CPU %u, number %u, is lost\n", cpu, to,
			      sent[cpu][to]);
			payload_exit(PAYLOAD_FAILURE);
		}
	}
}

static void flooder(unsigned int cpu, const struct cpu_began *began)
{
	(void)began;
	begin();
	irq_on();
	__atomic_add_fetch(&ready, 1, __ATOMIC_ACQ_REL);
	while (!load(&go))
		cpu_relax();
	flood(cpu);
	__atomic_add_fetch(&ended, 1, __ATOMIC_ACQ_REL);
	/* The others aren't done yet. */
	while (load(&go))
		cpu_relax();
	irq_off();
}

static void test_flood(bool sleeps)
{
	uint64_t arrivals = 0, answers = 0;
	bool good = true;

	sleeping = sleeps;
	memset(sent, 0, sizeof(sent));
	memset(seen, 0, sizeof(seen));
	memset(answered, 0, sizeof(answered));
	store(&ready, 0);
	store(&go, 0);
	store(&ended, 0);
	for (unsigned int cpu = 0; cpu < cpus; cpu++) {
		on_interrupt(cpu, arrived);
		on_interrupt(SGI_ANSWER + cpu, answer_arrived);
	}
	for (unsigned int cpu = 1; cpu < cpus; cpu++)
		good &= cpu_start(cpu, flooder) == 0;
	report(good && becomes(&ready, cpus - 1), "all are there");
	irq_on();
	store(&go, 1);
	flood(0);
	while (load(&ended) != cpus - 1)
		cpu_relax();
	store(&go, 0);
	irq_off();
	for (unsigned int from = 0; from < cpus; from++)
		for (unsigned int to = 0; to < cpus; to++) {
			arrivals += seen[from][to];
			answers += answered[from][to];
		}
	report(!load(&wrong) && arrivals == (uint64_t)rounds * cpus * cpus &&
		       answers == (sleeps ? arrivals : 0),
	       "%u SGIs from all to all, each of which arrived once%s", (unsigned int)arrivals,
	       sleeps ? ", and so their answers to sleepers" : "");
	for (unsigned int cpu = 1; cpu < cpus; cpu++)
		good &= goes_off(cpu);
	report(good, "all are off");
}

/* ---- spinning ---- */

static void spins(unsigned int cpu, const struct cpu_began *began)
{
	(void)cpu;
	(void)began;
	__atomic_add_fetch(&ready, 1, __ATOMIC_ACQ_REL);
	while (!load(&ended))
		;
}

static void spin(void)
{
	for (unsigned int cpu = 1; cpu < cpus; cpu++)
		if (cpu_start(cpu, spins))
			report(false, "CPU %u starts", cpu);
	report(becomes(&ready, cpus - 1), "%u CPUs spin with interrupts off", cpus);
	wait_for_key();
	store(&ended, 1);
	for (unsigned int cpu = 1; cpu < cpus; cpu++)
		report(goes_off(cpu), "CPU %u has spun", cpu);
}

void payload_main(void)
{
	read_arguments();
	if (cpus < 2) {
		payload_skip("there is one CPU");
		return;
	}
	if (wants("spin")) {
		spin();
		return;
	}
	test_answers();
	test_on_and_off();
	if (cpus > 3)
		test_race();
	gic_init();
	begin();
	test_suspend();
	test_nobody();
	test_elsewhere();
	test_flood(true);
	test_flood(false);
}
