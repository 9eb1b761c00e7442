/* SPDX-License-Identifier: MIT */
/* What the files of the virtual GIC share. See devices/vgic.h. */
#ifndef DEVICES_INTC_VGIC_CORE_H
#define DEVICES_INTC_VGIC_CORE_H

#include <devices/vgic.h>

/* GICD_CTLR. IHI 0069, "GICD_CTLR" with DS being 1; IHI 0048 section 4.3.1. */
#define VGIC_CTLR_GROUP0 0x1u
#define VGIC_CTLR_GROUP1 0x2u

/* GICD_IROUTER. IHI 0069, "GICD_IROUTER<n>". There is no Aff3: GICD_TYPER.A3V is 0. */
#define VGIC_ROUTE_ANY      BIT(31)
#define VGIC_ROUTE_AFFINITY 0xffffffu

/*
 * GICD_IIDR and GICR_IIDR: a product of its own number under Arm's code, as there has to be one.
 * Linux takes 0 for a chip with an erratum.
 */
#define VGIC_IIDR 0x4100043bu

/* Bits of a priority that there are. */
#define VGIC_PRIORITY 0xf8u

/* SGIs in word 0. */
#define VGIC_SGI_BITS 0xffffu

/* ---- state (vgic.c) ---- */

static inline u32 vgic_bit(u32 intid)
{
	return (u32)1 << intid % 32;
}

/* Interrupts 32 * @word and on; @cpu matters to the private ones. */
static inline struct vgic_irqs *vgic_irqs(struct vgic *gic, u32 cpu, u32 word)
{
	return word ? &gic->spis[word - 1] : &gic->cpus[cpu].irqs;
}

static inline const struct vgic_irqs *vgic_irqs_const(const struct vgic *gic, u32 cpu, u32 word)
{
	return word ? &gic->spis[word - 1] : &gic->cpus[cpu].irqs;
}

static inline struct vgic_notes *vgic_notes(struct vgic *gic, u32 cpu, u32 word)
{
	return word ? &gic->notes[word - 1] : &gic->cpus[cpu].notes;
}

static inline u32 vgic_pending_bits(const struct vgic_irqs *irqs)
{
	return irqs->latched | (irqs->level & ~irqs->edge);
}

/* GICv2 keeps apart who has sent an SGI. */
static inline bool vgic_sgi_has_source(const struct vgic *gic, u32 intid)
{
	return gic->here == VGIC_V2 && intid < VGIC_SGIS;
}

/*
 * Members of @bits of @word were changed: brings up to date what is derived from them, and kicks
 * the virtual CPUs concerned.
 */
void vgic_changed(struct vgic *gic, u32 cpu, u32 word, u32 bits);
/* As vgic_changed(), and tells the watchers of lines that are now enabled, or no longer. */
void vgic_configured(struct vgic *gic, u32 cpu, u32 word, u32 bits);
/* As vgic_configured(), for all interrupts. */
void vgic_configured_all(struct vgic *gic);

/* These change the state of interrupts and then do as vgic_changed(). */
void vgic_latch(struct vgic *gic, u32 cpu, u32 word, u32 bits);
void vgic_unlatch(struct vgic *gic, u32 cpu, u32 word, u32 bits);
void vgic_activate(struct vgic *gic, u32 cpu, u32 word, u32 bits);
void vgic_end(struct vgic *gic, u32 cpu, u32 word, u32 bits);
/* GICv2: SGI @sgi of @cpu becomes pending, or no longer is, from each of the CPUs in @sources. */
void vgic_sgi_latch(struct vgic *gic, u32 cpu, u32 sgi, u8 sources);
void vgic_sgi_unlatch(struct vgic *gic, u32 cpu, u32 sgi, u8 sources);

/* Works out again where an SPI goes; vgic_configured() has to follow. */
void vgic_route(struct vgic *gic, u32 intid);

/* ---- registers (vgic_regs.c) ---- */

/*
 * Registers of one kind. @read and @write get the index of the register among them, or, if a
 * register has bits for several interrupts, the INTID of the first. A write changes the bits of
 * @mask, of which there are less than the register has if the access was to a part of it. All zero:
 * there is nothing. Aligned, so that the nth of a table is found without multiplying.
 */
struct vgic_reg {
	u16 offset; /* of the first, in its map */
	u8 width;   /* bytes, of one register */
	u8 sizes;   /* of accesses, bytes; all that are possible, added up */
	u8 irqs;    /* per register; 0: it is none of single interrupts */
	u64 (*read)(const struct vgic *gic, u32 cpu, u32 n);                  /* NULL: write-only */
	void (*write)(struct vgic *gic, u32 cpu, u32 n, u64 value, u64 mask); /* NULL: read-only */
} __attribute__((aligned(32)));

/* A part of a frame: @regs has what there is in each @stride bytes, one after the other. */
struct vgic_map {
	u32 offset;
	u32 length; /* bytes; 0, after one at least: the end of a frame's maps */
	u32 stride;
	const struct vgic_reg *regs;
};

#define VGIC_MAP(at, bytes, table)                                                                 \
	{                                                                                          \
		at, (bytes)*ARRAY_COUNT(table), bytes, table                                       \
	}

/* Where distributor or redistributor have their registers. */
struct vgic_frame {
	const struct vgic_map *maps;
	u32 first; /* INTIDs that there are in registers of single interrupts */
	u32 end;
};

/*
 * IGROUPR to ICFGR, which distributor and redistributor have in common, to be mapped with
 * VGIC_BANK_STRIDE from the offset that IGROUPR is at 0x080 of.
 */
#define VGIC_BANK_STRIDE 0x80u
#define VGIC_BANKS       (0xd00 / VGIC_BANK_STRIDE)
extern const struct vgic_reg vgic_banks[VGIC_BANKS];

/* The distributor of either version, and a redistributor. */
extern const struct vgic_frame vgic_dist_v2;
extern const struct vgic_frame vgic_dist_v3;
extern const struct vgic_frame vgic_redist;

u64 vgic_read_iidr(const struct vgic *gic, u32 cpu, u32 n);
u64 vgic_read_pidr2(const struct vgic *gic, u32 cpu, u32 n);

#endif
