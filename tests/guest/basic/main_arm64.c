/* SPDX-License-Identifier: MIT */
/*
 * The machine as a small kernel sees it: ID and unknown registers, unmapped addresses, calls,
 * interrupts, timers. Section numbers are the Arm ARM's.
 */
#include "gic_arm64.h"
#include "payload.h"

#define ARRAY_COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* ---- ID registers ---- */

#define ID_AA64ISAR2_EL1 "S3_0_C0_C6_2"
#define ID_AA64SMFR0_EL1 "S3_0_C0_C4_5"
#define ID_AA64ZFR0_EL1  "S3_0_C0_C4_4"

struct field {
	const char *what;
	unsigned int shift;
};

/* Each is hidden: its field is 0. */
static const struct field hidden_pfr0[] = {
	{"EL2", 8}, {"EL3", 12}, {"SVE", 32}, {"MPAM", 40}, {"AMU", 44},
};
static const struct field hidden_pfr1[] = {
	{"memory tags", 8},
	{"SME", 24},
	{"random number traps", 28},
};
static const struct field hidden_isar0[] = {
	{"LSE atomics", 20},
	{"transactions", 24},
	{"random numbers", 60},
};
static const struct field hidden_isar1[] = {
	{"pointer authentication (APA)", 4},
	{"pointer authentication (API)", 8},
	{"generic authentication (GPA)", 24},
	{"generic authentication (GPI)", 28},
};
static const struct field hidden_isar2[] = {
	{"generic authentication (GPA3)", 8},
	{"pointer authentication (APA3)", 12},
	{"memory copies (MOPS)", 16},
};
static const struct field hidden_dfr0[] = {
	{"PMU", 8},
	{"statistical profiling", 32},
	{"trace filters", 40},
	{"trace buffer", 44},
};

static void check_hidden(uint64_t value, const struct field *fields, size_t count)
{
	for (size_t i = 0; i < count; i++)
		report(!(value >> fields[i].shift & 0xf), "%s: hidden", fields[i].what);
}

#define CHECK_HIDDEN(name, fields) check_hidden(sysreg_read(name), fields, ARRAY_COUNT(fields))

static void check_id_registers(void)
{
	uint64_t pfr0 = sysreg_read("id_aa64pfr0_el1");

	report((sysreg_read("CurrentEL") >> 2 & 3) == 1, "runs at EL1");
	report((pfr0 & 0xf) != 0 && (pfr0 >> 4 & 0xf) != 0, "EL0 and EL1 are there");
	report((pfr0 >> 16 & 0xf) != 0xf && (pfr0 >> 20 & 0xf) != 0xf, "so are FP and AdvSIMD");
	report(sysreg_read("midr_el1") != 0, "MIDR_EL1 names a processor");
	report(sysreg_read("S3_0_C0_C7_7") == 0, "a reserved ID register reads as zero");
	if (!payload_testdev) {
		payload_skip("what the baseline hides: this isn't anew");
		return;
	}
	CHECK_HIDDEN("id_aa64pfr0_el1", hidden_pfr0);
	CHECK_HIDDEN("id_aa64pfr1_el1", hidden_pfr1);
	CHECK_HIDDEN("id_aa64isar0_el1", hidden_isar0);
	CHECK_HIDDEN("id_aa64isar1_el1", hidden_isar1);
	CHECK_HIDDEN(ID_AA64ISAR2_EL1, hidden_isar2);
	CHECK_HIDDEN("id_aa64dfr0_el1", hidden_dfr0);
	report(!sysreg_read(ID_AA64SMFR0_EL1) && !sysreg_read(ID_AA64ZFR0_EL1),
	       "ID registers of SME and SVE read as zero");
}

/* ---- what raises an undefined exception ---- */

#define BODY(name, text)                                                                           \
	static void name(void *ctx)                                                                \
	{                                                                                          \
		(void)ctx;                                                                         \
		__asm__ volatile(text : : : "x0", "memory");                                       \
	}

BODY(read_hcr_el2, "mrs x0, hcr_el2")
BODY(write_vbar_el2, "msr vbar_el2, x0")
BODY(read_scr_el3, "mrs x0, scr_el3")
BODY(read_implementation_defined, "mrs x0, S3_0_C15_C2_7")
BODY(write_implementation_defined, "msr S3_0_C15_C2_7, x0")
BODY(read_unallocated, "mrs x0, S3_7_C7_C7_7")
BODY(do_udf, "udf #0")
BODY(do_eret_unallocated, ".inst 0xd69f07e0")
BODY(read_pmu, "mrs x0, pmcr_el0")
BODY(read_lor, "mrs x0, S3_0_C10_C4_3")
BODY(read_zcr, "mrs x0, S3_0_C1_C2_0")
BODY(do_rdvl, ".inst 0x04bf5020")
BODY(write_apia_key, "msr S3_0_C2_C1_0, x0")
BODY(do_cpyfp, "mov x0, xzr\n.inst 0x19010440\n")
BODY(read_gcr, "mrs x0, S3_0_C1_C0_6")
BODY(do_smc, "movz x0, #0x8000, lsl #16\n smc #0")
BODY(write_id_register, "msr S3_0_C0_C4_0, x0")

static void check_undefined(const char *what, void (*body)(void *))
{
	report(catch_fault(body, NULL) == EC_UNKNOWN, "%s: undefined", what);
}

static void check_registers(void)
{
	check_undefined("reading HCR_EL2", read_hcr_el2);
	check_undefined("writing VBAR_EL2", write_vbar_el2);
	check_undefined("reading SCR_EL3", read_scr_el3);
	check_undefined("writing an ID register", write_id_register);
	check_undefined("reading a register that isn't allocated", read_unallocated);
	check_undefined("UDF", do_udf);
	check_undefined("an instruction that isn't allocated", do_eret_unallocated);
	if (!payload_testdev)
		return;
	check_undefined("reading a register that a maker defines", read_implementation_defined);
	check_undefined("writing it", write_implementation_defined);
	check_undefined("reading PMCR_EL0", read_pmu);
	check_undefined("reading LORC_EL1", read_lor);
	check_undefined("reading ZCR_EL1", read_zcr);
	check_undefined("RDVL", do_rdvl);
	check_undefined("writing a key of pointer authentication", write_apia_key);
	check_undefined("CPYFP", do_cpyfp);
	check_undefined("reading GCR_EL1", read_gcr);
}

static void check_debug_registers(void)
{
	sysreg_write("oslar_el1", 0);
	report(!(sysreg_read("oslsr_el1") & 2), "the OS lock is open");
	sysreg_write("oslar_el1", 1);
	report(sysreg_read("oslsr_el1") & 2, "and closes");
	sysreg_write("oslar_el1", 0);
	sysreg_write("mdscr_el1", 0x8000);
	report(sysreg_read("mdscr_el1") == 0x8000, "MDSCR_EL1 keeps MDE");
	sysreg_write("mdscr_el1", 0);
	sysreg_write("dbgbvr0_el1", 0x1234560);
	report(sysreg_read("dbgbvr0_el1") == 0x1234560, "a breakpoint keeps its address");
	sysreg_write("dbgbvr0_el1", 0);
}

/* ---- unmapped addresses and devices ---- */

static void do_read(void *address)
{
	(void)mmio_read((uint64_t)address);
}

static void do_write(void *address)
{
	mmio_write((uint64_t)address, 1);
}

static void do_pair(void *address)
{
	__asm__ volatile("ldp x2, x3, [%0]" : : "r"(address) : "x2", "x3", "memory");
}

static void do_call(void *address)
{
	((void (*)(void))address)();
}

/* Entries of the table of level 1 that no memory needs: addresses from 16 GiB on. */
#define EXECUTABLE 16u
#define WALK       17u
#define GIB(n)     ((uint64_t)(n) << 30)

static void check_unmapped(void)
{
	int class = catch_fault(do_read, (void *)UNMAPPED);
	uint64_t address;

	report(fault_is_external(class, EC_DABT_CURRENT, UNMAPPED, 0),
	       "reading where nothing is: external abort");
	class = catch_fault(do_write, (void *)(UNMAPPED + 0x124u));
	report(fault_is_external(class, EC_DABT_CURRENT, UNMAPPED + 0x124u, ESR_WNR),
	       "writing there: the same");
	class = catch_fault(do_pair, (void *)(UNMAPPED + 0x10u));
	report(fault_is_external(class, EC_DABT_CURRENT, UNMAPPED + 0x10u, 0),
	       "reading a pair: the same");
	/* The first GiB once more, so that instructions may be fetched from it. */
	mmu_set(EXECUTABLE, MMU_NORMAL);
	address = GIB(EXECUTABLE) + UNMAPPED;
	class = catch_fault(do_call, (void *)address);
	report(fault_is_external(class, EC_IABT_CURRENT, address, 0),
	       "fetching instructions: the same");
	mmu_set(EXECUTABLE, 0);
}

static void check_walk(const char *what, uint64_t table, bool exact)
{
	int class;

	mmu_set(WALK, table | MMU_TABLE);
	class = catch_fault(do_read, (void *)GIB(WALK));
	report(class == EC_DABT_CURRENT && (!exact || (fault_esr & ESR_FSC) == FSC_ON_WALK(2)) &&
		       fault_far == GIB(WALK),
	       "a table %s: reading through it aborts", what);
	class = catch_fault(do_write, (void *)GIB(WALK));
	report(class == EC_DABT_CURRENT && (!exact || (fault_esr & ESR_FSC) == FSC_ON_WALK(2)) &&
		       fault_far == GIB(WALK),
	       "a table %s: writing as well", what);
	class = catch_fault(do_call, (void *)GIB(WALK));
	report(class == EC_IABT_CURRENT && (!exact || (fault_esr & ESR_FSC) == FSC_ON_WALK(2)) &&
		       fault_far == GIB(WALK),
	       "a table %s: fetching as well", what);
	mmu_set(WALK, 0);
}

static void check_walks(void)
{
	check_walk("where nothing is", UNMAPPED, true);
	/* QEMU reads the device's registers as descriptors, which are not valid. */
	check_walk("in a device", UART_BASE, payload_testdev);
	check_walk("in the distributor", GICD_BASE + 0x1000, payload_testdev);
}

static void do_maintenance(void *address)
{
	__asm__ volatile("dc cvac, %0\n dc civac, %0\n dc cvau, %0\n dc ivac, %0\n"
			 "dsb sy\n ic ivau, %0\n dsb sy\n isb"
			 :
			 : "r"(address)
			 : "memory");
}

static void do_translate(void *address)
{
	__asm__ volatile("at s1e1r, %0\n isb\n at s1e1w, %0\n isb" : : "r"(address) : "memory");
}

static void check_maintenance(void)
{
	static const struct {
		const char *what;
		uint64_t address;
	} places[] = {
		{"a device", UART_BASE},
		{"the distributor", GICD_BASE},
		{"where nothing is", UNMAPPED},
	};

	for (size_t i = 0; i < ARRAY_COUNT(places); i++) {
		report(catch_fault(do_maintenance, (void *)places[i].address) == -1,
		       "cache maintenance on %s is harmless", places[i].what);
		report(catch_fault(do_translate, (void *)places[i].address) == -1,
		       "translating its address is, too");
		report((sysreg_read("par_el1") & 0xffffff001) == places[i].address,
		       "and gives the address");
	}
}

/* ---- calls ---- */

static bool answers(uint64_t got, int want)
{
	return (uint32_t)got == (uint32_t)want;
}

static void check_calls(void)
{
	uint64_t mpidr = sysreg_read("mpidr_el1") & 0xff00ffffff;
	uint64_t nobody = mpidr ^ 0x80;
	uint64_t smccc = hvc(SMCCC_VERSION);

	report(hvc(PSCI_VERSION) >= 0x10000, "PSCI has a version of 1.0 or later");
	report(answers(hvc(PSCI_FEATURES, PSCI_VERSION), 0), "PSCI_FEATURES knows PSCI_VERSION");
	report(answers(hvc(PSCI_FEATURES, PSCI_CPU_ON), 0), "and CPU_ON");
	report(answers(hvc(PSCI_FEATURES, 0x8400003f), PSCI_NOT_SUPPORTED), "but nothing unknown");
	report(answers(hvc(PSCI_AFFINITY_INFO, mpidr, 0), 0), "this processor is on");
	report(answers(hvc(PSCI_AFFINITY_INFO, nobody, 0), PSCI_INVALID_PARAMS),
	       "one that isn't there is not");
	report(answers(hvc(PSCI_CPU_ON, mpidr, 0, 0), PSCI_ALREADY_ON),
	       "CPU_ON of itself: already on");
	report(answers(hvc(PSCI_CPU_ON, nobody, 0, 0), PSCI_INVALID_PARAMS),
	       "CPU_ON of one that isn't there: invalid");
	report(answers(hvc(0x8400003f), PSCI_NOT_SUPPORTED), "an unknown call of PSCI: refused");
	report(answers(hvc(0xc6000000), PSCI_NOT_SUPPORTED), "an unknown call of others: refused");
	if (!payload_testdev) {
		payload_skip("SMCCC version, and calls by SMC: this isn't anew");
		return;
	}
	report(smccc >= 0x10001 && smccc < 0x80000000, "SMCCC has a version of 1.1 or later");
	report(catch_fault(do_smc, NULL) == -1, "SMC goes on behind itself");
	report(SMCCC_CALL("smc", SMCCC_VERSION, 0, 0, 0) == smccc, "and answers like HVC");
	report(answers(SMCCC_CALL("smc", 0x8400003f, 0, 0, 0), PSCI_NOT_SUPPORTED),
	       "also what is unknown");
}

/* ---- interrupts and timers ---- */

static volatile unsigned int arrived;
static volatile uint64_t arrived_as;

static void count(uint64_t id, uint64_t *frame)
{
	(void)frame;
	arrived_as = id;
	arrived++;
}

static void check_self_interrupt(void)
{
	on_interrupt(5, count);
	gic_enable(5);
	arrived = 0;
	gic_send_self(5);
	report(!arrived, "an SGI waits while interrupts are off");
	irq_window();
	report(arrived == 1 && arrived_as == 5, "and arrives when they are on");
	irq_window();
	report(arrived == 1, "once");
	gic_set_mask(0x50);
	gic_send_self(5);
	irq_window();
	report(arrived == 1, "the priority mask holds the next one back");
	gic_set_mask(GIC_PRIORITY_ALL);
	irq_window();
	report(arrived == 2, "and lets it in");
	gic_disable(5);
	if (gic_is_enabled(5))
		return;
	gic_send_self(5);
	irq_window();
	report(arrived == 2, "a disabled SGI waits");
	gic_enable(5);
	irq_window();
	report(arrived == 3, "until it is enabled");
	gic_disable(5);
}

/* The registers of one of the two timers, by name. */
struct timer {
	const char *name;
	uint32_t id;
	void (*set)(uint64_t control, uint64_t deadline);
	uint64_t (*control)(void);
	uint64_t (*now)(void);
};

static void set_vtimer(uint64_t control, uint64_t deadline)
{
	sysreg_write("cntv_cval_el0", deadline);
	sysreg_write("cntv_ctl_el0", control);
}

static uint64_t vtimer_control(void)
{
	return sysreg_read("cntv_ctl_el0");
}

static uint64_t vtimer_now(void)
{
	__asm__ volatile("isb" : : : "memory");
	return sysreg_read("cntvct_el0");
}

static void set_ptimer(uint64_t control, uint64_t deadline)
{
	sysreg_write("cntp_cval_el0", deadline);
	sysreg_write("cntp_ctl_el0", control);
}

static uint64_t ptimer_control(void)
{
	return sysreg_read("cntp_ctl_el0");
}

static uint64_t ptimer_now(void)
{
	__asm__ volatile("isb" : : : "memory");
	return sysreg_read("cntpct_el0");
}

static const struct timer timers[] = {
	{"virtual", INTID_VTIMER, set_vtimer, vtimer_control, vtimer_now},
	{"physical", INTID_PTIMER, set_ptimer, ptimer_control, ptimer_now},
};
static const struct timer *timer;

#define TIMER_ENABLE  1u
#define TIMER_IMASK   2u
#define TIMER_ISTATUS 4u

static void timer_off(uint64_t id, uint64_t *frame)
{
	count(id, frame);
	timer->set(0, 0);
}

#define DEADLINES 5u

static uint64_t last_deadline, step;
static bool too_early;

static void timer_again(uint64_t id, uint64_t *frame)
{
	count(id, frame);
	too_early |= timer->now() < last_deadline;
	last_deadline += step;
	timer->set(arrived < DEADLINES ? TIMER_ENABLE : 0, last_deadline);
}

static void wait_for(unsigned int wanted)
{
	/* Interrupts are off between the look and the wait, which one that is pending ends. */
	while (arrived < wanted) {
		__asm__ volatile("wfi" : : : "memory");
		irq_window();
	}
}

static void check_timer(const struct timer *which)
{
	uint64_t hz = sysreg_read("cntfrq_el0");
	uint64_t start;

	timer = which;
	step = hz / 500;
	arrived = 0;
	on_interrupt(which->id, timer_off);
	gic_enable(which->id);
	start = which->now();
	which->set(TIMER_ENABLE, start + step);
	wait_for(1);
	report(which->now() >= start + step, "the %s timer doesn't fire early", which->name);
	irq_window();
	report(arrived == 1 && arrived_as == which->id, "it fires once, as INTID %u",
	       (unsigned int)which->id);

	/* Level-sensitive: as long as the condition holds. */
	on_interrupt(which->id, count);
	which->set(TIMER_ENABLE | TIMER_IMASK, which->now());
	report(which->control() == (TIMER_ENABLE | TIMER_IMASK | TIMER_ISTATUS),
	       "it tells that it would fire while it is masked");
	irq_window();
	report(arrived == 1, "and doesn't fire");
	on_interrupt(which->id, timer_off);
	which->set(TIMER_ENABLE, which->now());
	wait_for(2);
	report(arrived == 2, "a deadline that has passed fires at once");
	report(!(which->control() & TIMER_ENABLE), "the timer is off again");

	arrived = 0;
	too_early = false;
	on_interrupt(which->id, timer_again);
	last_deadline = which->now() + step;
	which->set(TIMER_ENABLE, last_deadline);
	wait_for(DEADLINES);
	irq_window();
	report(arrived == DEADLINES && !too_early, "each of %u deadlines fires once, none early",
	       DEADLINES);
	gic_disable(which->id);
}

static void check_timers(void)
{
	uint64_t before, after;

	report(sysreg_read("cntfrq_el0") >= 1000000, "the counter has a frequency");
	before = vtimer_now();
	after = before;
	for (int i = 0; i < 1000000 && after == before; i++)
		after = vtimer_now();
	report(after > before, "and counts");
	for (size_t i = 0; i < ARRAY_COUNT(timers); i++)
		check_timer(&timers[i]);
}

/* ---- registers survive ---- */

struct vectors {
	uint64_t v[64];
};

/* Fills all vector registers from @set, makes @calls calls and a read of a device, reads them. */
void vectors_through_exits(const struct vectors *set, struct vectors *got, uint64_t calls);
__asm__(".pushsection .text\n"
	"vectors_through_exits:\n"
	"	stp x29, x30, [sp, #-32]!\n"
	"	stp x19, x20, [sp, #16]\n"
	"	mov x19, x1\n"
	"	mov x20, x2\n"
	"	.irp n, 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30\n"
	"	ldr q\\n, [x0], #16\n"
	"	.endr\n"
	"	.irp n, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31\n"
	"	ldr q\\n, [x0], #16\n"
	"	.endr\n"
	"1:	movz x0, #0x8400, lsl #16\n"
	"	hvc #0\n"
	"	movz x1, #0x0900, lsl #16\n"
	"	ldr w2, [x1, #0x18]\n"
	"	sub x20, x20, #1\n"
	"	cbnz x20, 1b\n"
	"	.irp n, 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30\n"
	"	str q\\n, [x19], #16\n"
	"	.endr\n"
	"	.irp n, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31\n"
	"	str q\\n, [x19], #16\n"
	"	.endr\n"
	"	ldp x19, x20, [sp, #16]\n"
	"	ldp x29, x30, [sp], #32\n"
	"	ret\n"
	".popsection\n");

static void check_vectors(void)
{
	static struct vectors set, got;
	bool same = true;

	for (size_t i = 0; i < ARRAY_COUNT(set.v); i++)
		set.v[i] = 0x0123456789abcdef * (2 * i + 1);
	sysreg_write("fpcr", 0x00c00000);
	/* Long enough that the machine's own interrupts come in between. */
	vectors_through_exits(&set, &got, 20000);
	for (size_t i = 0; i < ARRAY_COUNT(set.v); i++)
		same &= set.v[i] == got.v[i];
	report(same, "vector registers survive calls, reads of devices and the firmware's time");
	report(sysreg_read("fpcr") == 0x00c00000, "so does FPCR");
	sysreg_write("fpcr", 0);
}

void payload_main(void)
{
	gic_init();
	check_id_registers();
	check_registers();
	check_debug_registers();
	check_unmapped();
	check_walks();
	check_maintenance();
	check_calls();
	check_self_interrupt();
	check_timers();
	check_vectors();
}
