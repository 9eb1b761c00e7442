/* SPDX-License-Identifier: MIT */
/*
 * The distributor of both versions. Of GICv3's: with affinity routing, private interrupts are in
 * the redistributors, and their bits here are RAZ/WI, as are GICD_ITARGETSR, GICD_SGIR and its
 * like; with one security state, so are GICD_IGRPMODR and GICD_NSACR. IHI 0069, "The GIC
 * Distributor register map"; IHI 0048 table 4-1.
 */
#include "vgic_core.h"

/* GICD_CTLR of GICv3, both RAO/WI: affinity routing, one security state. */
#define CTLR_ARE BIT(4)
#define CTLR_DS  BIT(6)

/* GICD_TYPER. */
#define TYPER_LINES      (VGIC_LINES / 32 - 1)
#define TYPER_CPUS_SHIFT 5
#define TYPER_ID_BITS    ((u64)9 << 19) /* GICv3: ten bits of INTID */

static u64 read_ctlr_v2(const struct vgic *gic, u32 cpu, u32 n)
{
	(void)cpu;
	(void)n;
	return gic->ctlr;
}

static u64 read_ctlr_v3(const struct vgic *gic, u32 cpu, u32 n)
{
	(void)cpu;
	(void)n;
	return gic->ctlr | CTLR_ARE | CTLR_DS;
}

static void write_ctlr(struct vgic *gic, u32 cpu, u32 n, u64 value, u64 mask)
{
	(void)cpu;
	(void)n;
	(void)mask;
	gic->ctlr = (u32)value & (VGIC_CTLR_GROUP0 | VGIC_CTLR_GROUP1);
	vgic_configured_all(gic);
}

static u64 read_typer_v2(const struct vgic *gic, u32 cpu, u32 n)
{
	(void)cpu;
	(void)n;
	return TYPER_LINES | (u64)(gic->cpu_count - 1) << TYPER_CPUS_SHIFT;
}

/* No LPIs, no messages, no extended ranges, no Aff3; 1 of N is there, where No1N is 0. */
static u64 read_typer_v3(const struct vgic *gic, u32 cpu, u32 n)
{
	(void)gic;
	(void)cpu;
	(void)n;
	return TYPER_LINES | TYPER_ID_BITS;
}

/* ---- routes of GICv3 ---- */

static u64 read_route(const struct vgic *gic, u32 cpu, u32 intid)
{
	(void)cpu;
	return gic->route[intid - VGIC_SPI_BASE];
}

static void write_route(struct vgic *gic, u32 cpu, u32 intid, u64 value, u64 mask)
{
	u64 *route = &gic->route[intid - VGIC_SPI_BASE];

	*route = ((*route & ~mask) | (value & mask)) & (VGIC_ROUTE_ANY | VGIC_ROUTE_AFFINITY);
	vgic_route(gic, intid);
	vgic_configured(gic, cpu, intid / 32, vgic_bit(intid));
}

/* ---- SGIs of GICv2 ---- */

/* GICD_SGIR. IHI 0048 section 4.3.15. */
static void write_sgi(struct vgic *gic, u32 cpu, u32 n, u64 value, u64 mask)
{
	u32 targets = 0;

	(void)n;
	(void)mask;
	switch (value >> 24 & 3) {
	case 0:
		targets = (u32)(value >> 16 & 0xff);
		break;
	case 1:
		targets = ~((u32)1 << cpu);
		break;
	case 2:
		targets = (u32)1 << cpu;
		break;
	}
	for (u32 i = 0; i < gic->cpu_count; i++)
		if (targets >> i & 1)
			vgic_sgi_latch(gic, i, value & 0xf, (u8)(1u << cpu));
}

/* A byte per SGI, a bit per CPU that has sent it. IHI 0048 sections 4.3.16, 4.3.17. */
static u64 read_sgi_sources(const struct vgic *gic, u32 cpu, u32 sgi)
{
	const u8 *sources = &gic->cpus[cpu].sgi_sources[sgi];

	return sources[0] | (u64)sources[1] << 8 | (u64)sources[2] << 16 | (u64)sources[3] << 24;
}

static void write_sgi_clear(struct vgic *gic, u32 cpu, u32 sgi, u64 value, u64 mask)
{
	for (u32 i = 0; i < 4; i++)
		vgic_sgi_unlatch(gic, cpu, sgi + i, (u8)((value & mask) >> 8 * i));
}

static void write_sgi_set(struct vgic *gic, u32 cpu, u32 sgi, u64 value, u64 mask)
{
	u64 sources = value & mask & (BIT(gic->cpu_count) - 1) * 0x01010101;

	for (u32 i = 0; i < 4; i++)
		vgic_sgi_latch(gic, cpu, sgi + i, (u8)(sources >> 8 * i));
}

/* ---- the tables ---- */

static const struct vgic_reg control_v2[] = {
	[0x0000 / 4] = {0x0000, 4, 4, 0, read_ctlr_v2, write_ctlr},
	[0x0004 / 4] = {0x0004, 4, 4, 0, read_typer_v2, NULL},
	[0x0008 / 4] = {0x0008, 4, 4, 0, vgic_read_iidr, NULL},
};

static const struct vgic_reg control_v3[] = {
	[0x0000 / 4] = {0x0000, 4, 4, 0, read_ctlr_v3, write_ctlr},
	[0x0004 / 4] = {0x0004, 4, 4, 0, read_typer_v3, NULL},
	[0x0008 / 4] = {0x0008, 4, 4, 0, vgic_read_iidr, NULL},
};

static const struct vgic_reg sgir[] = {
	{0, 4, 4, 0, NULL, write_sgi},
};

/* GICD_CPENDSGIR and GICD_SPENDSGIR. */
static const struct vgic_reg sgi_sources[] = {
	{0x00, 4, 1 + 4, 4, read_sgi_sources, write_sgi_clear},
	{0x10, 4, 1 + 4, 4, read_sgi_sources, write_sgi_set},
};

/* GICD_IROUTER, of which those of private interrupts are not there. */
static const struct vgic_reg routes[] = {
	{0, 8, 4 + 8, 1, read_route, write_route},
};

static const struct vgic_reg pidr2[] = {
	{0, 4, 4, 0, vgic_read_pidr2, NULL},
};

static const struct vgic_map maps_v2[] = {
	VGIC_MAP(0x0000, 4, control_v2), VGIC_MAP(0x0000, VGIC_BANK_STRIDE, vgic_banks),
	VGIC_MAP(0x0f00, 4, sgir),       VGIC_MAP(0x0f10, VGIC_SGIS, sgi_sources),
	VGIC_MAP(0x0fe8, 4, pidr2),      {0},
};

static const struct vgic_map maps_v3[] = {
	VGIC_MAP(0x0000, 4, control_v3),
	VGIC_MAP(0x0000, VGIC_BANK_STRIDE, vgic_banks),
	VGIC_MAP(0x6000, 8 * VGIC_LINES, routes),
	VGIC_MAP(0xffe8, 4, pidr2),
	{0},
};

const struct vgic_frame vgic_dist_v2 = {
	.maps = maps_v2,
	.end = VGIC_LINES,
};

const struct vgic_frame vgic_dist_v3 = {
	.maps = maps_v3,
	.first = VGIC_SPI_BASE,
	.end = VGIC_LINES,
};
