/* SPDX-License-Identifier: MIT */
/* The registers that distributor and redistributor have in common, and the way to all of them. */
#include "vgic_core.h"

/* ---- access ---- */

/* The row that has @offset, or NULL. */
static const struct vgic_reg *find(const struct vgic_reg *regs, u32 count, u32 offset)
{
	u32 low = 0;

	/* The last row that doesn't begin beyond @offset is in [low, low + count). */
	while (count > 1) {
		u32 half = count / 2;

		if (regs[low + half].offset <= offset)
			low += half;
		count -= half;
	}
	return offset - regs[low].offset < regs[low].length ? &regs[low] : NULL;
}

void vgic_reg_access(struct vgic *gic, const struct vgic_reg *regs, u32 count, u32 cpu, u32 first,
		     u32 offset, struct io_access *access)
{
	const struct vgic_reg *reg = find(regs, count, offset);
	u64 mask = UINT64_MAX >> (64 - 8 * access->size);
	u32 at, n, shift;

	if (!access->is_write)
		access->value = 0;
	if (!reg || !(reg->versions >> gic->here & 1) ||
	    (access->size != reg->width && access->size != reg->part) ||
	    offset & (access->size - 1u))
		return;
	at = offset - reg->offset;
	n = at / reg->width;
	if (reg->irqs) {
		n *= reg->irqs;
		if (n < first)
			return;
	}
	shift = 8 * (at % reg->width);
	if (!access->is_write) {
		if (reg->read)
			access->value = reg->read(gic, cpu, n) >> shift & mask;
	} else if (reg->write) {
		reg->write(gic, cpu, n, access->value << shift, mask << shift);
	}
}

/* ---- bit per interrupt ---- */

u64 vgic_read_group(const struct vgic *gic, u32 cpu, u32 intid)
{
	return vgic_irqs_const(gic, cpu, intid / 32)->group1;
}

u64 vgic_read_enabled(const struct vgic *gic, u32 cpu, u32 intid)
{
	return vgic_irqs_const(gic, cpu, intid / 32)->enabled;
}

u64 vgic_read_pending(const struct vgic *gic, u32 cpu, u32 intid)
{
	return vgic_pending_bits(vgic_irqs_const(gic, cpu, intid / 32));
}

u64 vgic_read_active(const struct vgic *gic, u32 cpu, u32 intid)
{
	return vgic_irqs_const(gic, cpu, intid / 32)->active;
}

void vgic_write_group(struct vgic *gic, u32 cpu, u32 intid, u64 value, u64 mask)
{
	struct vgic_irqs *irqs = vgic_irqs(gic, cpu, intid / 32);
	u32 group1 = (u32)((irqs->group1 & ~mask) | (value & mask));
	u32 bits = irqs->group1 ^ group1;

	irqs->group1 = group1;
	vgic_configured(gic, cpu, intid / 32, bits);
}

void vgic_write_enable(struct vgic *gic, u32 cpu, u32 intid, u64 value, u64 mask)
{
	struct vgic_irqs *irqs = vgic_irqs(gic, cpu, intid / 32);
	u32 bits = (u32)(value & mask) & ~irqs->enabled;

	irqs->enabled |= bits;
	vgic_configured(gic, cpu, intid / 32, bits);
}

void vgic_write_disable(struct vgic *gic, u32 cpu, u32 intid, u64 value, u64 mask)
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

void vgic_write_set_pending(struct vgic *gic, u32 cpu, u32 intid, u64 value, u64 mask)
{
	vgic_latch(gic, cpu, intid / 32, pending_writable(gic, intid, value & mask));
}

void vgic_write_clear_pending(struct vgic *gic, u32 cpu, u32 intid, u64 value, u64 mask)
{
	vgic_unlatch(gic, cpu, intid / 32, pending_writable(gic, intid, value & mask));
}

void vgic_write_set_active(struct vgic *gic, u32 cpu, u32 intid, u64 value, u64 mask)
{
	vgic_activate(gic, cpu, intid / 32, (u32)(value & mask));
}

void vgic_write_clear_active(struct vgic *gic, u32 cpu, u32 intid, u64 value, u64 mask)
{
	vgic_end(gic, cpu, intid / 32, (u32)(value & mask));
}

/* ---- wider fields ---- */

u64 vgic_read_priority(const struct vgic *gic, u32 cpu, u32 intid)
{
	const u8 *priority = &vgic_irqs_const(gic, cpu, intid / 32)->priority[intid % 32];

	return priority[0] | (u64)priority[1] << 8 | (u64)priority[2] << 16 |
	       (u64)priority[3] << 24;
}

void vgic_write_priority(struct vgic *gic, u32 cpu, u32 intid, u64 value, u64 mask)
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
u64 vgic_read_config(const struct vgic *gic, u32 cpu, u32 intid)
{
	u32 edge = vgic_irqs_const(gic, cpu, intid / 32)->edge >> intid % 32;
	u64 value = 0;

	for (u32 i = 0; i < 16; i++)
		value |= (u64)(edge >> i & 1) << (2 * i + 1);
	return value;
}

void vgic_write_config(struct vgic *gic, u32 cpu, u32 intid, u64 value, u64 mask)
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
