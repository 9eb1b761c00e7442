/* SPDX-License-Identifier: MIT */
/* The registers that distributor and redistributors have in common, and the way to all of them. */
#include "vgic_core.h"

/* ---- bit per interrupt ---- */

static u64 read_group(const struct vgic *gic, u32 cpu, u32 intid)
{
	return vgic_irqs_const(gic, cpu, intid / 32)->group1;
}

static u64 read_enabled(const struct vgic *gic, u32 cpu, u32 intid)
{
	return vgic_irqs_const(gic, cpu, intid / 32)->enabled;
}

static u64 read_pending(const struct vgic *gic, u32 cpu, u32 intid)
{
	return vgic_pending_bits(vgic_irqs_const(gic, cpu, intid / 32));
}

static u64 read_active(const struct vgic *gic, u32 cpu, u32 intid)
{
	return vgic_irqs_const(gic, cpu, intid / 32)->active;
}

static void write_group(struct vgic *gic, u32 cpu, u32 intid, u64 value, u64 mask)
{
	struct vgic_irqs *irqs = vgic_irqs(gic, cpu, intid / 32);
	u32 group1 = (u32)((irqs->group1 & ~mask) | (value & mask));
	u32 bits = irqs->group1 ^ group1;

	irqs->group1 = group1;
	vgic_configured(gic, cpu, intid / 32, bits);
}

static void write_enable(struct vgic *gic, u32 cpu, u32 intid, u64 value, u64 mask)
{
	struct vgic_irqs *irqs = vgic_irqs(gic, cpu, intid / 32);
	u32 bits = (u32)(value & mask) & ~irqs->enabled;

	irqs->enabled |= bits;
	vgic_configured(gic, cpu, intid / 32, bits);
}

static void write_disable(struct vgic *gic, u32 cpu, u32 intid, u64 value, u64 mask)
{
	struct vgic_irqs *irqs = vgic_irqs(gic, cpu, intid / 32);
	u32 bits = (u32)(value & mask) & irqs->enabled;

	irqs->enabled &= ~bits;
	vgic_configured(gic, cpu, intid / 32, bits);
}

/* GICv2 sets and clears SGIs with registers of their own. IHI 0048 sections 4.3.7, 4.3.8. */
static u32 pending_writable(const struct vgic *gic, u32 intid, u64 bits)
{
	return (u32)bits & (vgic_sgi_has_source(gic, intid) ? ~VGIC_SGI_BITS : UINT32_MAX);
}

static void write_set_pending(struct vgic *gic, u32 cpu, u32 intid, u64 value, u64 mask)
{
	vgic_latch(gic, cpu, intid / 32, pending_writable(gic, intid, value & mask));
}

static void write_clear_pending(struct vgic *gic, u32 cpu, u32 intid, u64 value, u64 mask)
{
	vgic_unlatch(gic, cpu, intid / 32, pending_writable(gic, intid, value & mask));
}

static void write_set_active(struct vgic *gic, u32 cpu, u32 intid, u64 value, u64 mask)
{
	vgic_activate(gic, cpu, intid / 32, (u32)(value & mask));
}

static void write_clear_active(struct vgic *gic, u32 cpu, u32 intid, u64 value, u64 mask)
{
	vgic_end(gic, cpu, intid / 32, (u32)(value & mask));
}

/* ---- wider fields ---- */

static u64 read_priority(const struct vgic *gic, u32 cpu, u32 intid)
{
	const u8 *priority = &vgic_irqs_const(gic, cpu, intid / 32)->priority[intid % 32];

	return priority[0] | (u64)priority[1] << 8 | (u64)priority[2] << 16 |
	       (u64)priority[3] << 24;
}

static void write_priority(struct vgic *gic, u32 cpu, u32 intid, u64 value, u64 mask)
{
	u8 *priority = &vgic_irqs(gic, cpu, intid / 32)->priority[intid % 32];
	u32 bits = 0;

	for (u32 i = 0; i < 4; i++, value >>= 8, mask >>= 8) {
		if (!(mask & 0xff))
			continue;
		priority[i] = value & VGIC_PRIORITY;
		bits |= vgic_bit(intid + i);
	}
	vgic_changed(gic, cpu, intid / 32, bits);
}

/* Two bits each, of which the upper one says: edge. */
static u64 read_config(const struct vgic *gic, u32 cpu, u32 intid)
{
	u32 edge = vgic_irqs_const(gic, cpu, intid / 32)->edge >> intid % 32;
	u64 value = 0;

	for (u32 i = 0; i < 16; i++)
		value |= (u64)(edge >> i & 1) << (2 * i + 1);
	return value;
}

static void write_config(struct vgic *gic, u32 cpu, u32 intid, u64 value, u64 mask)
{
	struct vgic_irqs *irqs = vgic_irqs(gic, cpu, intid / 32);
	u32 edge = 0, bits = 0;

	/* SGIs are edge-triggered, always. */
	if (intid < VGIC_SGIS)
		return;
	for (u32 i = 0; i < 16; i++) {
		if (!(mask >> (2 * i + 1) & 1))
			continue;
		bits |= vgic_bit(intid + i);
		if (value >> (2 * i + 1) & 1)
			edge |= vgic_bit(intid + i);
	}
	irqs->edge = (irqs->edge & ~bits) | edge;
	vgic_changed(gic, cpu, intid / 32, bits);
}

/* ---- routes of GICv2 ---- */

/* RAZ/WI with affinity routing, as GICv3 has it, and for an only CPU. IHI 0048 section 4.3.12. */
static bool has_targets(const struct vgic *gic)
{
	return gic->here == VGIC_V2 && gic->cpu_count > 1;
}

/* Of private interrupts a CPU reads itself. */
static u64 read_targets(const struct vgic *gic, u32 cpu, u32 intid)
{
	u64 value = 0;

	if (!has_targets(gic))
		return 0;
	if (intid < VGIC_SPI_BASE)
		return ((u64)1 << cpu) * 0x01010101;
	for (u32 i = 0; i < 4; i++)
		value |= gic->route[intid - VGIC_SPI_BASE + i] << 8 * i;
	return value;
}

static void write_targets(struct vgic *gic, u32 cpu, u32 intid, u64 value, u64 mask)
{
	u32 bits = 0;

	if (intid < VGIC_SPI_BASE || !has_targets(gic))
		return;
	for (u32 i = 0; i < 4; i++, value >>= 8, mask >>= 8) {
		if (!(mask & 0xff))
			continue;
		gic->route[intid - VGIC_SPI_BASE + i] = value & (BIT(gic->cpu_count) - 1) & 0xff;
		vgic_route(gic, intid + i);
		bits |= vgic_bit(intid + i);
	}
	vgic_configured(gic, cpu, intid / 32, bits);
}

/* ---- identification ---- */

u64 vgic_read_iidr(const struct vgic *gic, u32 cpu, u32 n)
{
	(void)gic;
	(void)cpu;
	(void)n;
	return VGIC_IIDR;
}

/* The architecture's version in bits 7:4, the rest as Arm's own have it. IHI 0069, "GICD_PIDR2". */
u64 vgic_read_pidr2(const struct vgic *gic, u32 cpu, u32 n)
{
	(void)cpu;
	(void)n;
	return gic->here << 4 | 0xb;
}

/* ---- banks ---- */

#define BANK(at)                     (at) / VGIC_BANK_STRIDE
#define BIT_BANK(at, reader, writer) [BANK(at)] = {at, 4, 4, 32, reader, writer}

/*
 * IHI 0069, "The GIC Distributor register map" and "The GIC Redistributor register map"; IHI 0048
 * table 4-1.
 */
const struct vgic_reg vgic_banks[VGIC_BANKS] = {
	BIT_BANK(0x080, read_group, write_group),
	BIT_BANK(0x100, read_enabled, write_enable),
	BIT_BANK(0x180, read_enabled, write_disable),
	BIT_BANK(0x200, read_pending, write_set_pending),
	BIT_BANK(0x280, read_pending, write_clear_pending),
	BIT_BANK(0x300, read_active, write_set_active),
	BIT_BANK(0x380, read_active, write_clear_active),
	[BANK(0x400)... BANK(0x7ff)] = {0x400, 4, 1 + 4, 4, read_priority, write_priority},
	[BANK(0x800)... BANK(0xbff)] = {0x800, 4, 1 + 4, 4, read_targets, write_targets},
	[BANK(0xc00)... BANK(0xcff)] = {0xc00, 4, 4, 16, read_config, write_config},
};

/* ---- access ---- */

/* What there is at *@offset, which becomes the distance from the first of its kind; or NULL. */
static inline const struct vgic_reg *find(const struct vgic_frame *frame, u32 *offset)
{
	const struct vgic_map *map = frame->maps;

	do {
		u32 at = *offset - map->offset;

		if (at < map->length) {
			const struct vgic_reg *reg = &map->regs[at / map->stride];

			*offset = at - reg->offset;
			return reg;
		}
		map++;
	} while (map->length);
	return NULL;
}

/* @access to register @n of @reg, from its byte @at on. */
static inline enum io_result reg_io(struct vgic *gic, const struct vgic_reg *reg, u32 cpu, u32 n,
				    u32 at, struct io_access *access)
{
	if (!access->is_write) {
		if (reg->read)
			access->value = reg->read(gic, cpu, n) >> 8 * at;
	} else if (reg->write) {
		u64 mask = UINT64_MAX >> (64 - 8 * access->size);

		reg->write(gic, cpu, n, access->value << 8 * at, mask << 8 * at);
	}
	return IO_DONE;
}

/* What others than @reader have of a word of interrupts, as it was when they last left the guest.
 */
__attribute__((noinline)) static void fold_others(struct vgic *gic, u32 cpu, u32 word, u32 reader)
{
	for (u32 i = 0; i < gic->cpu_count; i++)
		if (i != reader && (word || i == cpu) && gic->cpus[i].given[word])
			gic->ops->fold(gic->ctx, i);
}

/* Apart, as it has more to keep in mind. */
__attribute__((noinline)) static enum io_result irqs_io(struct vgic *gic,
							const struct vgic_frame *frame,
							const struct vgic_reg *reg, u32 cpu, u32 at,
							struct io_access *access)
{
	u32 n = at / reg->width * reg->irqs;

	if (n < frame->first || n >= frame->end)
		return IO_DONE;
	if (gic->ops->fold) {
		gic->ops->fold(gic->ctx, access->vcpu);
		/* A write counts whatever list registers say. */
		if (!access->is_write && (reg->read == read_pending || reg->read == read_active))
			fold_others(gic, cpu, n / 32, access->vcpu);
	}
	return reg_io(gic, reg, cpu, n, at % reg->width, access);
}

/* @access at @offset of @frame, which is that of @cpu. */
static inline enum io_result frame_io(struct vgic *gic, const struct vgic_frame *frame, u32 cpu,
				      u32 offset, struct io_access *access)
{
	u32 at = offset, size = access->size;
	const struct vgic_reg *reg = find(frame, &at);

	if (!reg || !(reg->sizes & size))
		return IO_DONE;
	if (reg->irqs)
		return irqs_io(gic, frame, reg, cpu, at, access);
	return reg_io(gic, reg, cpu, 0, at, access);
}

enum io_result vgic_dist_io(void *ctx, struct io_access *access)
{
	struct vgic *gic = ctx;

	return frame_io(gic, gic->dist, access->vcpu, (u32)access->offset, access);
}

enum io_result vgic_redist_io(void *ctx, struct io_access *access)
{
	struct vgic *gic = ctx;
	u64 cpu = access->offset / VGIC_REDIST_SIZE;

	if (cpu >= gic->cpu_count)
		return IO_DONE;
	return frame_io(gic, &vgic_redist, (u32)cpu, (u32)(access->offset % VGIC_REDIST_SIZE),
			access);
}
