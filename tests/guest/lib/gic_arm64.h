/* SPDX-License-Identifier: MIT */
/*
 * The interrupt controller of payloads: GICv2 (IHI 0048) or GICv3 (IHI 0069), whichever there is,
 * behind one set of functions. All interrupts are of the group that Linux uses: 0 on GICv2, 1 on
 * GICv3. Priorities have their upper 5 bits implemented at least; lower values go first.
 */
#ifndef GIC_ARM64_H
#define GIC_ARM64_H

#include <stdbool.h>
#include <stdint.h>

#define GICD_BASE 0x08000000u
#define GICC_BASE 0x08010000u
#define GICR_BASE 0x080a0000u

#define GICD_CTLR       0x000
#define GICD_TYPER      0x004
#define GICD_IGROUPR    0x080
#define GICD_ISENABLER  0x100
#define GICD_ICENABLER  0x180
#define GICD_ISPENDR    0x200
#define GICD_ICPENDR    0x280
#define GICD_ISACTIVER  0x300
#define GICD_ICACTIVER  0x380
#define GICD_IPRIORITYR 0x400
#define GICD_ICFGR      0xc00

/* An acknowledgement of nothing is this or above. */
#define GIC_SPURIOUS     1020u
#define GIC_SPIS         32u   /* the first shared one */
#define GIC_PRIORITY_ALL 0xffu /* mask that lets all through */
#define GIC_IDLE         0xffu /* running priority without an active interrupt */

/* 2 or 3; valid after gic_init(). */
extern int gic_version;

/*
 * Everything off but distributor and CPU interface; priorities 0xa0, level-sensitive, EOImode 0, no
 * mask, every implemented bit of a priority preempts.
 */
void gic_init(void);
/* Lets all interrupts through, or none. */
void gic_set_forwarding(bool on);
/* The same for the private interrupts and the CPU interface of a further processor, on it. */
void gic_init_cpu(void);
/* How many INTIDs the distributor has. */
uint32_t gic_lines(void);

void gic_enable(uint32_t id);
/* SGIs may be enabled for ever (IHI 0048, 4.3.5). */
void gic_disable(uint32_t id);
bool gic_is_enabled(uint32_t id);
void gic_set_priority(uint32_t id, uint8_t priority);
uint8_t gic_get_priority(uint32_t id);
void gic_set_edge(uint32_t id, bool edge);
void gic_set_pending(uint32_t id);
void gic_clear_pending(uint32_t id);
bool gic_is_pending(uint32_t id);
void gic_set_active(uint32_t id);
void gic_clear_active(uint32_t id);
bool gic_is_active(uint32_t id);
/* Sends SGI @id (0 to 15) to the processor itself, or to processor @cpu. */
void gic_send_self(uint32_t id);
void gic_send(uint32_t id, unsigned int cpu);
/* Shared interrupt @id goes to processor @cpu. */
void gic_route(uint32_t id, unsigned int cpu);

/* Acknowledges the pending interrupt of the highest priority; GIC_SPURIOUS if there is none. */
uint32_t gic_ack(void);
/* With who sent an SGI, where GICv2 says so: that belongs to its end. */
#define GIC_INTID        0x3ffu
#define GIC_SENDER_SHIFT 10
uint32_t gic_ack_all(void);
/* Which one that would be. */
uint32_t gic_highest_pending(void);
/* Drops the running priority; in EOImode 0 also deactivates. */
void gic_eoi(uint32_t id);
void gic_deactivate(uint32_t id);
void gic_set_eoimode(int mode);
void gic_set_mask(uint8_t priority);
/* What preempts is bits 7 to @bit of a priority; at most the implemented ones. */
void gic_set_group_bits(unsigned int bit);
uint8_t gic_running_priority(void);

#endif
