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

/* IHI 0048 section 4.3.12: of private interrupts a CPU reads itself; RAZ/WI if it is the only one.
 */
static u64 read_targets(const struct vgic *gic, u32 cpu, u32 intid)
{
	u64 value = 0;

	if (gic->cpu_count == 1)
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

	if (intid < VGIC_SPI_BASE || gic->cpu_count == 1)
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

#define BIT_BANK(at, reader, writer)                                                               \
	[(at) / 128] = {at, 128, 4, 4, 32, VGIC_REG_ALL, reader, writer}
#define BANKS_BEGIN 0x080u
#define BANKS_END   0xd00u

/*
 * What distributor and redistributor have in common, by blocks of 128 bytes. IHI 0069, "The GIC
 * Distributor register map" and "The GIC Redistributor register map"; IHI 0048 table 4-1.
 */
static const struct vgic_reg banks[BANKS_END / 128] = {
	BIT_BANK(0x080, read_group, write_group),
	BIT_BANK(0x100, read_enabled, write_enable),
	BIT_BANK(0x180, read_enabled, write_disable),
	BIT_BANK(0x200, read_pending, write_set_pending),
	BIT_BANK(0x280, read_pending, write_clear_pending),
	BIT_BANK(0x300, read_active, write_set_active),
	BIT_BANK(0x380, read_active, write_clear_active),
	[0x400 / 128 ... 0x7ff / 128] = {0x400, 0x400, 4, 1 + 4, 4, VGIC_REG_ALL, read_priority,
					 write_priority},
	[0x800 / 128 ... 0xbff / 128] = {0x800, 0x400, 4, 1 + 4, 4, VGIC_REG_V2, read_targets,
					 write_targets},
	[0xc00 / 128 ... 0xcff / 128] = {0xc00, 0x100, 4, 4, 16, VGIC_REG_ALL, read_config,
					 write_config},
};

/* ---- access ---- */

/* The row that has *@offset, which becomes the distance from its beginning; or NULL. */
static inline const struct vgic_reg *find(const struct vgic_frame *frame, u32 *offset)
{
	u32 at = *offset - frame->banks;

	if (at - BANKS_BEGIN < BANKS_END - BANKS_BEGIN) {
		*offset = at - banks[at / 128].offset;
		return &banks[at / 128];
	}
	for (u32 i = 0; i < frame->count; i++) {
		at = *offset - frame->regs[i].offset;
		if (at < frame->regs[i].length) {
			*offset = at;
			return &frame->regs[i];
		}
	}
	return NULL;
}

void vgic_frame_io(struct vgic *gic, const struct vgic_frame *frame, u32 cpu, u32 offset,
		   struct io_access *access)
{
	u32 at = offset, n, shift;
	const struct vgic_reg *reg = find(frame, &at);
	u64 mask = UINT64_MAX >> (64 - 8 * access->size);

	if (!access->is_write)
		access->value = 0;
	if (!reg || !(reg->versions >> gic->here & 1) || !(reg->sizes & access->size) ||
	    offset & (access->size - 1u))
		return;
	n = at / reg->width;
	shift = 8 * (at % reg->width);
	if (reg->irqs) {
		n *= reg->irqs;
		if (n < frame->first || n >= frame->end)
			return;
	}
	if (!access->is_write) {
		if (reg->read)
			access->value = reg->read(gic, cpu, n) >> shift & mask;
	} else if (reg->write) {
		reg->write(gic, cpu, n, access->value << shift, mask << shift);
	}
}
