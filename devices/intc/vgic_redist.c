/* SPDX-License-Identifier: MIT */
/*
 * The redistributors of GICv3: for each virtual CPU a frame RD_base and a frame SGI_base of 64 KiB.
 * No LPIs, and with one security state no GICR_IGRPMODR0 and GICR_NSACR. IHI 0069, "The GIC
 * Redistributor register map".
 */
#include "vgic_core.h"

/* GICR_TYPER. */
#define TYPER_LAST           BIT(4)
#define TYPER_NUMBER_SHIFT   8
#define TYPER_AFFINITY_SHIFT 32

/* GICR_WAKER. The second follows the first at once, and is read-only. */
#define WAKER_SLEEP  0x2u
#define WAKER_ASLEEP 0x4u

/* The processor number is the index. */
static u64 read_typer(const struct vgic *gic, u32 cpu, u32 n)
{
	u64 affinity = vgic_affinity(cpu);

	(void)n;
	/* Aff3 is next to Aff2 here. */
	affinity = (affinity >> 32 << 24 | (affinity & VGIC_ROUTE_AFFINITY));
	return affinity << TYPER_AFFINITY_SHIFT | (u64)cpu << TYPER_NUMBER_SHIFT |
	       (cpu == gic->cpu_count - 1 ? TYPER_LAST : 0);
}

static u64 read_waker(const struct vgic *gic, u32 cpu, u32 n)
{
	(void)n;
	return gic->cpus[cpu].asleep ? WAKER_SLEEP | WAKER_ASLEEP : 0;
}

static void write_waker(struct vgic *gic, u32 cpu, u32 n, u64 value, u64 mask)
{
	(void)n;
	(void)mask;
	gic->cpus[cpu].asleep = (value & WAKER_SLEEP) != 0;
	/* Those of which the choice is left go elsewhere. */
	for (u32 intid = VGIC_SPI_BASE; intid < VGIC_LINES; intid++)
		vgic_route(gic, intid);
	/* Kicks those that have something pending, which is forwarded from now on, or no longer. */
	vgic_configured_all(gic);
}

/* GICR_CTLR has nothing to control without LPIs, and is RAZ/WI like what is not in the table. */
static const struct vgic_reg control[] = {
	[0x0004 / 4] = {0x0004, 4, 4, 0, vgic_read_iidr, NULL},
	[0x0008 / 4 ... 0x000f / 4] = {0x0008, 8, 4 + 8, 0, read_typer, NULL},
	[0x0014 / 4] = {0x0014, 4, 4, 0, read_waker, write_waker},
};

static const struct vgic_reg pidr2[] = {
	{0, 4, 4, 0, vgic_read_pidr2, NULL},
};

/* The banks are in the second of the two. */
static const struct vgic_map maps[] = {
	VGIC_MAP(0x00000, 4, control),
	VGIC_MAP(0x10000, VGIC_BANK_STRIDE, vgic_banks),
	VGIC_MAP(0x0ffe8, 4, pidr2),
	{0},
};

const struct vgic_frame vgic_redist = {
	.maps = maps,
	.end = VGIC_SPI_BASE,
};
