/* SPDX-License-Identifier: MIT */
#include <arch/asm.h>
#include <arch/lapic.h>
#include <arch/relax.h>
#include <arch/x86.h>
#include <internal/arch.h>

/* Offsets in xAPIC mode; in x2APIC mode the MSR is 800h and a sixteenth of it. SDM 11.12.1.2. */
#define REG_VERSION       0x030u
#define REG_TPR           0x080u
#define REG_EOI           0x0b0u
#define REG_SVR           0x0f0u
#define REG_ICR           0x300u
#define REG_ICR_HIGH      0x310u
#define REG_LVT_TIMER     0x320u
#define REG_INITIAL_COUNT 0x380u
#define REG_CURRENT_COUNT 0x390u
#define REG_DIVIDE        0x3e0u

#define BASE_EXTENDED BIT(10)
#define BASE_ENABLE   BIT(11)
#define BASE_ADDRESS  0x000ffffffffff000u

#define SVR_ENABLE   0x100u
#define LVT_MASKED   0x10000u
#define LVT_DEADLINE 0x40000u
#define LVT_NMI      0x400u
#define LVT_DELIVERY 0x700u
#define ICR_PENDING  0x1000u
#define ICR_ASSERT   0x4000u
#define DIVIDE_BY_1  0x0bu

/* CPUID leaf 1 ECX. */
#define ECX1_DEADLINE BIT(24)

/* In which a message leaves by far. */
#define SEND_SPINS 1000000u

#define CALIBRATE_MS 10u
#define READS        16u

/* The same for all; constant once the boot CPU is on, the timer's rate once another one is. */
static bool x2apic, deadline;
static u64 base;
static u64 timer_hz;

static u32 read(u32 reg)
{
	if (x2apic)
		return (u32)rdmsr(MSR_X2APIC + reg / 16);
	return *(volatile u32 *)(uintptr_t)(base + reg);
}

static void write(u32 reg, u32 value)
{
	if (x2apic)
		wrmsr(MSR_X2APIC + reg / 16, value);
	else
		*(volatile u32 *)(uintptr_t)(base + reg) = value;
}

u32 lapic_id(void)
{
	struct cpuid_regs r = cpuid(0, 0);

	/* All 32 bits, where there are as many. */
	if (r.eax >= 0xb) {
		r = cpuid(0xb, 0);
		if (r.ebx)
			return r.edx;
	}
	return cpuid(1, 0).ebx >> 24;
}

enum hv_error lapic_init(void)
{
	u64 value = rdmsr(MSR_APIC_BASE);

	if (!(value & BASE_ENABLE))
		return HV_EUNSUPPORTED;
	x2apic = value & BASE_EXTENDED;
	base = value & BASE_ADDRESS;
	deadline = cpuid(1, 0).ecx & ECX1_DEADLINE;
	return HV_OK;
}

/* ---- the timer ---- */

struct moment {
	u64 tsc;
	u32 count;
};

/* The reading with the least between the two of the counter around it, as in tsc.c. */
static struct moment read_both(void)
{
	struct moment moment = {0};
	u64 least = UINT64_MAX;

	for (u32 i = 0; i < READS; i++) {
		u64 before = rdtsc();
		u32 count = read(REG_CURRENT_COUNT);
		u64 after = rdtsc();

		if (after - before >= least)
			continue;
		least = after - before;
		moment = (struct moment){.tsc = before + least / 2, .count = count};
	}
	return moment;
}

/* Sets timer_hz; the timer is masked. False: it doesn't count. */
static bool calibrate(void)
{
	u64 interval = arch_counter_hz() / 1000 * CALIBRATE_MS;
	struct moment begin, end;

	write(REG_INITIAL_COUNT, UINT32_MAX);
	begin = read_both();
	while (rdtsc() - begin.tsc < interval)
		cpu_relax();
	end = read_both();
	write(REG_INITIAL_COUNT, 0);
	timer_hz = muldiv_u64(begin.count - end.count, arch_counter_hz(), end.tsc - begin.tsc);
	return timer_hz;
}

void lapic_timer(u64 at)
{
	u64 now, count;

	if (deadline) {
		/* 0 disarms it: 11.5.4.1. */
		wrmsr(MSR_TSC_DEADLINE, at == UINT64_MAX ? 0 : max_u64(at, 1));
		return;
	}
	now = rdtsc();
	if (at == UINT64_MAX)
		count = 0;
	else if (at <= now)
		count = 1;
	else if (at - now > arch_counter_hz())
		count = timer_hz; /* whoever it is for asks again */
	else
		count = muldiv_u64(at - now, timer_hz, arch_counter_hz()) + 1;
	write(REG_INITIAL_COUNT, (u32)min_u64(count, UINT32_MAX));
}

/* ---- beginning and end ---- */

static u32 lvt_count(void)
{
	return (u32)min_u64((read(REG_VERSION) >> 16 & 0xff) + 1, LAPIC_LVT_MAX);
}

/* Of the entries in the order of their numbers (SDM figure 11-8): offset 320h and on. */
static u32 lvt_reg(u32 entry)
{
	/* Timer, LINT0, LINT1, error, performance counters, thermal sensor. */
	static const u32 regs[LAPIC_LVT_MAX] = {REG_LVT_TIMER, 0x350, 0x360, 0x370, 0x340, 0x330};

	return regs[entry];
}

const char *lapic_begin(struct lapic_before *before)
{
	u64 value = rdmsr(MSR_APIC_BASE);

	if (!(value & BASE_ENABLE))
		return "its local APIC is off";
	if (!!(value & BASE_EXTENDED) != x2apic || (value & BASE_ADDRESS) != base)
		return "its local APIC isn't in the mode that the boot processor's is in";
	if (!x2apic && lapic_id() >= 0xff)
		return "its APIC id is too large for xAPIC mode";
	before->tpr = read(REG_TPR);
	before->svr = read(REG_SVR);
	before->divide = read(REG_DIVIDE);
	for (u32 i = 0; i < lvt_count(); i++) {
		before->lvt[i] = read(lvt_reg(i));
		if ((before->lvt[i] & LVT_DELIVERY) != LVT_NMI)
			write(lvt_reg(i), before->lvt[i] | LVT_MASKED);
	}
	write(REG_INITIAL_COUNT, 0);
	write(REG_TPR, 0);
	write(REG_SVR, SVR_ENABLE | LAPIC_SPURIOUS_VECTOR);
	write(REG_DIVIDE, DIVIDE_BY_1);
	if (!deadline && !timer_hz) {
		write(REG_LVT_TIMER, LVT_MASKED | LAPIC_TIMER_VECTOR);
		if (!calibrate()) {
			lapic_end(before);
			return "its local APIC's timer doesn't count";
		}
	}
	write(REG_LVT_TIMER, LAPIC_TIMER_VECTOR | (deadline ? LVT_DEADLINE : 0));
	/* The write of the MSR must not come before the one to memory: 11.5.4.1. */
	__asm__ volatile("mfence" : : : "memory");
	lapic_timer(UINT64_MAX);
	return NULL;
}

void lapic_end(const struct lapic_before *before)
{
	lapic_timer(UINT64_MAX);
	write(REG_DIVIDE, before->divide);
	for (u32 i = 0; i < lvt_count(); i++)
		write(lvt_reg(i), before->lvt[i]);
	write(REG_SVR, before->svr);
	write(REG_TPR, before->tpr);
}

/* ---- messages ---- */

void lapic_eoi(void)
{
	write(REG_EOI, 0);
}

void lapic_send(u32 id, u8 vector)
{
	u64 flags;

	if (x2apic) {
		/* What was written before has to be seen by whoever gets it: 11.12.3. */
		__asm__ volatile("mfence; lfence" : : : "memory");
		wrmsr(MSR_X2APIC + REG_ICR / 16, (u64)id << 32 | ICR_ASSERT | vector);
		return;
	}
	/* The firmware's tick may send as well: between the two halves it must not. */
	__asm__ volatile("pushfq; popq %0; cli" : "=r"(flags) : : "memory");
	for (u32 i = 0; (read(REG_ICR) & ICR_PENDING) && i < SEND_SPINS; i++)
		cpu_relax();
	write(REG_ICR_HIGH, id << 24);
	write(REG_ICR, ICR_ASSERT | vector);
	__asm__ volatile("pushq %0; popfq" : : "r"(flags) : "memory", "cc");
}
