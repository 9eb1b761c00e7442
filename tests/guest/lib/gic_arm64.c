/* SPDX-License-Identifier: MIT */
#include "gic_arm64.h"
#include "payload.h"

#define GICD_CTLR_GROUP0 0x01u
#define GICD_CTLR_GROUP1 0x02u
#define GICD_CTLR_ARE    0x10u
#define GICD_CTLR_RWP    0x80000000u
#define GICD_ITARGETSR   0x800
#define GICD_SGIR        0xf00
#define GICD_IROUTER     0x6000
#define SGIR_SELF        (2u << 24)
#define SGIR_TARGETS     16

#define GICC_CTLR  0x0000
#define GICC_PMR   0x0004
#define GICC_BPR   0x0008
#define GICC_IAR   0x000c
#define GICC_EOIR  0x0010
#define GICC_RPR   0x0014
#define GICC_HPPIR 0x0018
#define GICC_DIR   0x1000

#define GICC_CTLR_ENABLE  0x001u
#define GICC_CTLR_EOIMODE 0x200u

#define GICR_WAKER         0x0014
#define WAKER_SLEEP        0x2u
#define WAKER_CHILDREN     0x4u
#define GICR_CTLR_RWP      0x8u
#define GICR_PRIVATE       0x10000 /* the frame of SGIs and PPIs */
#define GICR_SIZE          0x20000 /* of one processor's frames */
#define PRIVATE_INTERRUPTS 32u

#define ICC_PMR_EL1     "S3_0_C4_C6_0"
#define ICC_DIR_EL1     "S3_0_C12_C11_1"
#define ICC_RPR_EL1     "S3_0_C12_C11_3"
#define ICC_SGI1R_EL1   "S3_0_C12_C11_5"
#define ICC_IAR1_EL1    "S3_0_C12_C12_0"
#define ICC_EOIR1_EL1   "S3_0_C12_C12_1"
#define ICC_HPPIR1_EL1  "S3_0_C12_C12_2"
#define ICC_BPR1_EL1    "S3_0_C12_C12_3"
#define ICC_CTLR_EL1    "S3_0_C12_C12_4"
#define ICC_SRE_EL1     "S3_0_C12_C12_5"
#define ICC_IGRPEN1_EL1 "S3_0_C12_C12_7"

#define ICC_CTLR_EOIMODE 0x2u

int gic_version;

/* This processor's redistributor. */
static uint64_t redist(void)
{
	return GICR_BASE + cpu_index() * (uint64_t)GICR_SIZE;
}

/* The register of @id in a bank at @offset, where each interrupt has @bits bits. */
static uint64_t bank(uint32_t id, uint32_t offset, uint32_t bits)
{
	uint64_t base =
		gic_version == 3 && id < PRIVATE_INTERRUPTS ? redist() + GICR_PRIVATE : GICD_BASE;

	return base + offset + id * bits / 32 * 4;
}

static void write_bit(uint32_t id, uint32_t offset)
{
	mmio_write(bank(id, offset, 1), 1u << id % 32);
}

static bool read_bit(uint32_t id, uint32_t offset)
{
	return mmio_read(bank(id, offset, 1)) >> id % 32 & 1;
}

/* Until what was written to enables and priorities holds. */
static void settle(void)
{
	if (gic_version != 3)
		return;
	while (mmio_read(GICD_BASE + GICD_CTLR) & GICD_CTLR_RWP)
		cpu_relax();
	while (mmio_read(redist()) & GICR_CTLR_RWP)
		cpu_relax();
}

uint32_t gic_lines(void)
{
	uint32_t lines = 32 * ((mmio_read(GICD_BASE + GICD_TYPER) & 31) + 1);

	return lines < GIC_SPURIOUS ? lines : GIC_SPURIOUS;
}

void gic_enable(uint32_t id)
{
	write_bit(id, GICD_ISENABLER);
}

void gic_disable(uint32_t id)
{
	write_bit(id, GICD_ICENABLER);
	settle();
}

bool gic_is_enabled(uint32_t id)
{
	return read_bit(id, GICD_ISENABLER);
}

void gic_set_priority(uint32_t id, uint8_t priority)
{
	mmio_write8(bank(id, GICD_IPRIORITYR, 8) + id % 4, priority);
}

uint8_t gic_get_priority(uint32_t id)
{
	return mmio_read8(bank(id, GICD_IPRIORITYR, 8) + id % 4);
}

void gic_set_edge(uint32_t id, bool edge)
{
	uint64_t reg = bank(id, GICD_ICFGR, 2);
	uint32_t bit = 2u << id % 16 * 2;

	mmio_write(reg, edge ? mmio_read(reg) | bit : mmio_read(reg) & ~bit);
}

void gic_set_pending(uint32_t id)
{
	write_bit(id, GICD_ISPENDR);
}

void gic_clear_pending(uint32_t id)
{
	write_bit(id, GICD_ICPENDR);
}

bool gic_is_pending(uint32_t id)
{
	return read_bit(id, GICD_ISPENDR);
}

void gic_set_active(uint32_t id)
{
	write_bit(id, GICD_ISACTIVER);
}

void gic_clear_active(uint32_t id)
{
	write_bit(id, GICD_ICACTIVER);
}

bool gic_is_active(uint32_t id)
{
	return read_bit(id, GICD_ISACTIVER);
}

void gic_send(uint32_t id, unsigned int cpu)
{
	__asm__ volatile("dsb ishst" : : : "memory");
	if (gic_version == 3)
		sysreg_write(ICC_SGI1R_EL1, 1ull << cpu | (uint64_t)id << 24);
	else
		mmio_write(GICD_BASE + GICD_SGIR, 1u << (SGIR_TARGETS + cpu) | id);
}

void gic_send_self(uint32_t id)
{
	__asm__ volatile("dsb ishst" : : : "memory");
	if (gic_version == 3)
		gic_send(id, cpu_index());
	else
		mmio_write(GICD_BASE + GICD_SGIR, SGIR_SELF | id);
}

uint32_t gic_ack_all(void)
{
	if (gic_version == 3)
		return (uint32_t)sysreg_read(ICC_IAR1_EL1);
	return mmio_read(GICC_BASE + GICC_IAR);
}

uint32_t gic_ack(void)
{
	return gic_ack_all() & (gic_version == 3 ? ~0u : GIC_INTID);
}

uint32_t gic_highest_pending(void)
{
	if (gic_version == 3)
		return (uint32_t)sysreg_read(ICC_HPPIR1_EL1);
	return mmio_read(GICC_BASE + GICC_HPPIR) & GIC_INTID;
}

void gic_eoi(uint32_t id)
{
	if (gic_version == 3)
		sysreg_write(ICC_EOIR1_EL1, id);
	else
		mmio_write(GICC_BASE + GICC_EOIR, id);
}

void gic_deactivate(uint32_t id)
{
	if (gic_version == 3)
		sysreg_write(ICC_DIR_EL1, id);
	else
		mmio_write(GICC_BASE + GICC_DIR, id);
}

void gic_set_eoimode(int mode)
{
	if (gic_version == 3)
		sysreg_write(ICC_CTLR_EL1, mode ? ICC_CTLR_EOIMODE : 0);
	else
		mmio_write(GICC_BASE + GICC_CTLR,
			   GICC_CTLR_ENABLE | (mode ? GICC_CTLR_EOIMODE : 0));
}

void gic_set_mask(uint8_t priority)
{
	if (gic_version == 3)
		sysreg_write(ICC_PMR_EL1, priority);
	else
		mmio_write(GICC_BASE + GICC_PMR, priority);
}

void gic_set_group_bits(unsigned int bit)
{
	/* IHI 0069, table 4-10: in group 1 the binary point is one higher than in group 0. */
	if (gic_version == 3)
		sysreg_write(ICC_BPR1_EL1, bit);
	else
		mmio_write(GICC_BASE + GICC_BPR, bit ? bit - 1 : 0);
}

uint8_t gic_running_priority(void)
{
	if (gic_version == 3)
		return (uint8_t)sysreg_read(ICC_RPR_EL1);
	return (uint8_t)mmio_read(GICC_BASE + GICC_RPR);
}

void gic_set_forwarding(bool on)
{
	uint32_t value = gic_version == 3 ? GICD_CTLR_ARE : 0;

	if (on)
		value |= gic_version == 3 ? GICD_CTLR_GROUP1 : GICD_CTLR_GROUP0;
	mmio_write(GICD_BASE + GICD_CTLR, value);
	settle();
}

static void init_v3(void)
{
	mmio_write(redist() + GICR_WAKER, mmio_read(redist() + GICR_WAKER) & ~WAKER_SLEEP);
	while (mmio_read(redist() + GICR_WAKER) & WAKER_CHILDREN)
		cpu_relax();
	sysreg_write(ICC_SRE_EL1, 1);
	sysreg_write(ICC_IGRPEN1_EL1, 1);
}

/* Of 32 interrupts from @first on. */
static void init_word(uint32_t first)
{
	mmio_write(bank(first, GICD_ICENABLER, 1), ~0u);
	mmio_write(bank(first, GICD_ICPENDR, 1), ~0u);
	mmio_write(bank(first, GICD_ICACTIVER, 1), ~0u);
	mmio_write(bank(first, GICD_IGROUPR, 1), gic_version == 3 ? ~0u : 0);
	for (uint32_t id = first; id < first + 32; id += 4)
		mmio_write(bank(id, GICD_IPRIORITYR, 8), 0xa0a0a0a0);
}

void gic_init_cpu(void)
{
	if (gic_version == 3)
		init_v3();
	init_word(0);
	settle();
	gic_set_group_bits(0);
	gic_set_eoimode(0);
	gic_set_mask(GIC_PRIORITY_ALL);
}

void gic_route(uint32_t id, unsigned int cpu)
{
	if (gic_version == 3)
		mmio_write64(GICD_BASE + GICD_IROUTER + id * 8, cpu);
	else
		mmio_write8(GICD_BASE + GICD_ITARGETSR + id, (uint8_t)(1u << cpu));
}

void gic_init(void)
{
	uint32_t lines;

	/* ID_AA64PFR0_EL1.GIC: whether the CPU interface has system registers. */
	gic_version = sysreg_read("id_aa64pfr0_el1") >> 24 & 0xf ? 3 : 2;
	gic_set_forwarding(true);
	lines = gic_lines();
	for (uint32_t id = GIC_SPIS; id < lines; id += 32)
		init_word(id);
	for (uint32_t id = GIC_SPIS; id < lines; id += 16)
		mmio_write(bank(id, GICD_ICFGR, 2), 0);
	for (uint32_t id = GIC_SPIS; id < lines; id++)
		gic_route(id, cpu_index());
	gic_init_cpu();
}
