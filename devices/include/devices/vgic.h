/* SPDX-License-Identifier: MIT */
/*
 * The Arm interrupt controller of a VM as a pure state machine: GICv3 (Arm IHI 0069) or GICv2
 * (IHI 0048) from one state. Distributor and, in GICv3, redistributors; 32 private interrupts for
 * each virtual CPU and 64 SPIs; 32 priorities; one security state (GICD_CTLR.DS is 1) with both
 * groups. GICv3 has affinity routing always on. There are no LPIs, no ITS and no extended ranges.
 *
 * The virtual CPU interface is the hardware's. Its list registers are a cache: vgic_fill() says
 * what belongs into them before an entry into the guest, vgic_fold() takes back what the guest
 * made of it. In between, the state here is that of the fill, so what a snapshot saves is
 * complete only after a fold. Registers may be accessed, lines set and SGIs sent all the time, for
 * interrupts that are given out too; the kick then says that the virtual CPU concerned has to leave
 * the guest, fold and fill. Where a virtual CPU accesses pending or active state, the owner is
 * asked to fold it before, and to have those fold whose list registers know of what is read.
 *
 * Nothing here locks: the owner lets one caller in at a time. Members say who may change them:
 * [c] constant after vgic_init() and vgic_set_hw(); [g] the functions here; [o] the owner as well,
 * while the virtual CPU is out of the guest.
 */
#ifndef DEVICES_VGIC_H
#define DEVICES_VGIC_H

#include <hv/io.h>
#include <hv/irq.h>
#include <hv/state.h>
#include <hv/types.h>

enum vgic_version {
	VGIC_V2 = 2,
	VGIC_V3 = 3,
};

#define VGIC_CPU_MAX  8
#define VGIC_SGIS     16u
#define VGIC_SPI_BASE 32u
#define VGIC_LINES    96u /* INTIDs 0 to 95 */
#define VGIC_SPIS     (VGIC_LINES - VGIC_SPI_BASE)
#define VGIC_WORDS    (VGIC_LINES / 32)
#define VGIC_LR_MAX   16u /* that vgic_fill() makes use of */

/* Private interrupts as systems agree on them: Arm DEN 0094 (BSA), "PPI assignments". */
#define VGIC_PPI_MAINTENANCE 25u
#define VGIC_PPI_VTIMER      27u
#define VGIC_PPI_PTIMER      30u

/* Sizes of the regions, bytes. */
#define VGIC_V2_DIST_SIZE ((u64)0x1000)
#define VGIC_V3_DIST_SIZE ((u64)0x10000)
#define VGIC_REDIST_SIZE  ((u64)0x20000) /* of one virtual CPU */

/*
 * The affinity of virtual CPU @cpu as MPIDR_EL1 has it (Aff3 in bits 39:32, Aff2 to Aff0 in 23:0):
 * its index is Aff0. At most 16, as GICv3 sends SGIs to sixteen values of Aff0 without more ado.
 */
static inline u64 vgic_affinity(u32 cpu)
{
	return cpu;
}
static_assert(VGIC_CPU_MAX <= 16, "Aff0 beyond the target list of an SGI");

/* One interrupt at a virtual CPU interface: what list registers of either version are made from. */
struct vgic_lr {
	u32 intid;
	u32 hw_intid; /* the physical one that is deactivated with it; 0: none */
	u8 priority;  /* bits 7:3 */
	u8 source;    /* GICv2, SGI: the virtual CPU that sent it; else 0 */
	bool pending;
	bool active;
	bool group1;
	bool eoi_notify; /* a maintenance interrupt when it ends; never together with hw_intid */
};

/*
 * The virtual CPU interface as the guest has set it, the same for both versions (ICH_VMCR_EL2 and
 * ICH_AP0R, ICH_AP1R; GICH_VMCR and GICH_APR). Saved. The owner brings it up to date whenever the
 * virtual CPU has left the guest, before it calls vgic_fill() or vgic_pending().
 */
struct vgic_cpu_if {
	u32 pmr;   /* bits 7:0 */
	u8 bpr0;   /* binary points, 0 to 7 */
	u8 bpr1;   /* GICv2: GICV_ABPR */
	u8 group0; /* these are 0 or 1: group enabled */
	u8 group1;
	u8 cbpr; /* bpr0 is for both groups */
	u8 eoimode;
	u8 fiqen;  /* GICv2 */
	u8 ackctl; /* GICv2 */
	/*
	 * Active priorities: bit n of the first word is priority 8 * n, the others are 0. Hardware
	 * with more than five bits of preemption is to be converted, of six bits every second one
	 * counts. GICv2 has one register for both groups, which is ap0r.
	 */
	u32 ap0r[4];
	u32 ap1r[4];
};

struct vgic_ops {
	/*
	 * Something may have become deliverable to virtual CPU @cpu, or must be taken back from
	 * its list registers: it has to leave the guest, vgic_fold() and vgic_fill().
	 */
	void (*kick)(void *ctx, u32 cpu);
	/*
	 * The interrupt that stands for the physical @hw_intid on @cpu was ended by a register
	 * access, or was in no list register: deactivate the physical one. May be NULL if there is
	 * no vgic_set_hw().
	 */
	void (*deactivate)(void *ctx, u32 cpu, u32 hw_intid);
	/*
	 * What list registers of @cpu know is wanted: vgic_fold() if anything is given out to it.
	 * It accesses a register of single interrupts and is out of the guest, or another one reads
	 * the state of what @cpu has, which runs: then it is enough that it has folded since, and
	 * may have filled again. May be NULL if nothing is given out whenever a register is
	 * accessed.
	 */
	void (*fold)(void *ctx, u32 cpu);
};

/* What is saved about thirty-two interrupts: bit n of a word is the nth. */
struct vgic_irqs {
	u32 group1;
	u32 enabled;
	u32 level;   /* the line is high */
	u32 latched; /* pending whatever the line does: an edge, an SGI, or set by the guest */
	u32 active;
	u32 edge; /* edge-triggered, else level-sensitive */
	u8 priority[32];
};

/* What is not. */
struct vgic_notes {
	u32 given; /* in list registers, of whichever virtual CPU */
	/* Since it was given out, which list registers don't tell: */
	u32 latched_again;  /* it was latched, and stays so if it has been taken */
	u32 active_written; /* the guest wrote whether it is active, and that counts */
	u32 raised;         /* the line was set once more, of one with a physical interrupt */
	u32 told;           /* enabled, as its watcher was last told */
	u32 pad;
	struct {
		void (*fn)(void *ctx);
		void *ctx;
	} watchers[32];
};

struct vgic;
struct vgic_frame; /* vgic_core.h */

/* Of the words, [0] is the private interrupts, [1] SPIs 32 to 63, and so on. */
struct vgic_cpu {
	struct vgic_irqs irqs;     /* [g] the private ones */
	struct vgic_cpu_if cpu_if; /* [o] */
	u32 asleep;                /* [g] GICR_WAKER.ProcessorSleep */
	u8 sgi_sources[VGIC_SGIS]; /* [g] GICv2: bit per virtual CPU that sent it, while pending */
	u8 sgi_active[VGIC_SGIS];  /* [g] GICv2: who sent the active one; 0 if it isn't active */

	/* Derived, kept up to date at every change. */
	u32 routed[VGIC_WORDS]; /* [g] to be signalled here when pending */
	u32 held[VGIC_WORDS];   /* [g] active here, if active at all */
	u32 ready[VGIC_WORDS];  /* [g] pending, enabled, not active, and routed here */
	u32 busy[VGIC_WORDS];   /* [g] active here */
	u32 ready_words;        /* [g] bit n: ready[n] is not 0 */
	u32 busy_words;         /* [g] */

	/* What is given out, until it is folded. */
	u32 given[VGIC_WORDS];     /* [g] */
	u32 offered[VGIC_WORDS];   /* [g] of those given, as pending */
	u8 sgi_offered[VGIC_SGIS]; /* [g] GICv2: the source that was offered */
	u8 sgi_resent[VGIC_SGIS];  /* [g] GICv2: sources that have sent it since */

	struct vgic_notes notes; /* [g] on the private ones */
	u32 index;               /* [c] */
	u32 pad;
	struct vgic *gic; /* [c] */
};

struct vgic {
	struct vgic_irqs spis[VGIC_WORDS - 1]; /* [g] */
	u64 route[VGIC_SPIS]; /* [g] GICD_IROUTER; GICv2: the byte of GICD_ITARGETSR */
	u8 holder[VGIC_SPIS]; /* [g] the virtual CPU on which it is active; 0 if it isn't */
	u32 ctlr;             /* [g] the enable bits of GICD_CTLR */
	u32 version;          /* [g] enum vgic_version; saved to be compared with the next */

	u32 here;                                /* [c] enum vgic_version */
	u32 cpu_count;                           /* [c] */
	u8 target[VGIC_SPIS];                    /* [g] derived from route; VGIC_NOWHERE */
	struct vgic_notes notes[VGIC_WORDS - 1]; /* [g] on the SPIs */
	u32 hw;                                  /* [c] private ones with a physical one */
	u32 pad;
	u16 hw_intid[VGIC_SPI_BASE];   /* [c] */
	const struct vgic_frame *dist; /* [c] registers of the distributor */
	const struct vgic_ops *ops;    /* [c] */
	void *ctx;                     /* [c] */
	struct vgic_cpu cpus[VGIC_CPU_MAX];
};

#define VGIC_NOWHERE 0xffu /* a target: no virtual CPU */

/*
 * Records "vgic", of the struct vgic, and "vgic-cpu", of each of its cpus up to cpu_count. The
 * first one's after_load is for all, and comes when all are in place.
 */
extern const struct state_desc vgic_dist_state;
extern const struct state_desc vgic_cpu_state;

/*
 * Makes @gic the interrupt controller of @cpu_count virtual CPUs, 1 to VGIC_CPU_MAX. @ops and @ctx
 * are kept. Once only; before all else vgic_reset() has to follow, or the loading of a state.
 */
void vgic_init(struct vgic *gic, enum vgic_version version, u32 cpu_count,
	       const struct vgic_ops *ops, void *ctx);

/*
 * The state in which firmware hands a machine over: everything disabled, in Group 0, of the highest
 * priority, level-sensitive; redistributors awake. Lines stay as they are, what was given out is
 * forgotten, watchers are told. That no physical interrupt stays active is the owner's to see to.
 */
void vgic_reset(struct vgic *gic);

/* The CPU interface of @cpu into its state after a reset: it was switched off, and is on again. */
void vgic_reset_cpu_if(struct vgic *gic, u32 cpu);

/*
 * The line to SPI @intid, and to PPI @ppi (16 to 31) of virtual CPU @cpu; not connected if there is
 * no such interrupt. Its number is the INTID. It can be watched by one: the last who asked. It is
 * enabled while its enable bit and that of its group in GICD_CTLR are set and, for an SPI, it is
 * routed to a virtual CPU that exists. Watchers may set lines.
 */
struct irq_line vgic_line(struct vgic *gic, u32 intid);
struct irq_line vgic_private_line(struct vgic *gic, u32 cpu, u32 ppi);

/*
 * @ppi stands for a physical interrupt of the same meaning, on every virtual CPU: its list register
 * gets @hw_intid, so that the end of interrupt in the guest ends the physical one too. Set its line
 * once when the physical one has been acknowledged; the line falls by itself when the guest takes
 * the interrupt, as its end lets the physical one fire again. Who takes the line down before that
 * deactivates the physical one himself. 0 undoes it.
 */
void vgic_set_hw(struct vgic *gic, u32 ppi, u32 hw_intid);

/*
 * io_handler for the distributor, of VGIC_V3_DIST_SIZE or VGIC_V2_DIST_SIZE bytes, and for the
 * redistributors of GICv3, cpu_count times VGIC_REDIST_SIZE bytes, in the order of the virtual
 * CPUs. Registers that aren't there, and accesses of a size that a register doesn't take, leave a
 * read's value at the zero that the bus has put there, and are ignored.
 */
enum io_result vgic_dist_io(void *gic, struct io_access *access);
enum io_result vgic_redist_io(void *gic, struct io_access *access);

/*
 * GICv3: virtual CPU @cpu writes ICC_SGI1R_EL1; or ICC_SGI0R_EL1 or ICC_ASGI1R_EL1, which are the
 * same with one security state and only reach SGIs of Group 0. IHI 0069, "Forwarding an SGI to a
 * target PE".
 */
void vgic_send_sgi1(struct vgic *gic, u32 cpu, u64 icc_sgi1r);
void vgic_send_sgi0(struct vgic *gic, u32 cpu, u64 icc_sgi0r);

/*
 * Chooses up to @max interrupts for the list registers of @cpu, the most urgent first, and notes
 * that they are given out; returns how many. No INTID comes twice. To be called with nothing given
 * out, and with *vgic_cpu_if() up to date.
 *
 * In EOImode 0, active interrupts come before pending ones that they keep from being signalled,
 * those of the same or a lower priority; pending ones of a group that is disabled at the CPU
 * interface come last. In EOImode 1, active ones come last, since they may have dropped their
 * priority and must not keep others out. An interrupt that is level-sensitive, or that pends again
 * but may not be in a list register as active and pending, has eoi_notify: fold and fill when it
 * ends.
 *
 * *@more: all @max, which is to be 2 at least, are used and others wait. Ask for a maintenance
 * interrupt: underflow in EOImode 0, no pending in EOImode 1; and when the guest enables a group.
 * If active ones wait, the end of interrupt may find them missing: the hardware counts that in
 * EOIcount, for vgic_end_missing(), and has a maintenance interrupt for it (list register entry not
 * present). In EOImode 1, whatever *@more says, a write to ICC_DIR_EL1 or GICC_DIR has to trap, for
 * vgic_deactivate(), and EOIcount says nothing.
 */
u32 vgic_fill(struct vgic *gic, u32 cpu, struct vgic_lr *lrs, u32 max, bool *more);

/*
 * Takes back what vgic_fill() gave out: @lrs as the hardware left them, of which intid, pending and
 * active are looked at. What was not given out to @cpu is passed over; what was and is not in @lrs
 * stays given out.
 */
void vgic_fold(struct vgic *gic, u32 cpu, const struct vgic_lr *lrs, u32 count);

/* The guest deactivates @intid on @cpu: ICC_DIR_EL1, GICC_DIR. To be called after vgic_fold(). */
void vgic_deactivate(struct vgic *gic, u32 cpu, u32 intid);

/*
 * The guest ended @count interrupts on @cpu that were in no list register (EOIcount), in EOImode 0:
 * the most urgent active ones that weren't given out. To be called before vgic_fold().
 */
void vgic_end_missing(struct vgic *gic, u32 cpu, u32 count);

/*
 * Whether an interrupt would now be signalled to @cpu, with nothing given out: this ends WFI. It is
 * pending and enabled, as is its group in distributor and CPU interface, and its priority is above
 * the mask and above what is active. A redistributor that is put to sleep asks for the CPU to be
 * woken as soon as anything is pending: IHI 0069, "Power Management".
 */
bool vgic_pending(const struct vgic *gic, u32 cpu);

/* The CPU interface of @cpu, to be read and written by the owner. */
static inline struct vgic_cpu_if *vgic_cpu_if(struct vgic *gic, u32 cpu)
{
	return &gic->cpus[cpu].cpu_if;
}

#endif
