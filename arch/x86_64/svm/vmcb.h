/* SPDX-License-Identifier: MIT */
/* The virtual machine control block: AMD APM vol. 2, appendix B. */
#ifndef SVM_VMCB_H
#define SVM_VMCB_H

#include <arch/vcpu.h>
#include <hv/types.h>

struct vmcb {
	/* Control area, table B-1. */
	u16 intercept_cr_read;
	u16 intercept_cr_write;
	u16 intercept_dr_read;
	u16 intercept_dr_write;
	u32 intercept_exceptions;
	u32 intercept_misc1;
	u32 intercept_misc2;
	u32 intercept_misc3;
	u8 reserved_018[0x3c - 0x18];
	u16 pause_threshold;
	u16 pause_count;
	u64 iopm_base_pa;
	u64 msrpm_base_pa;
	u64 tsc_offset;
	u32 guest_asid;
	u8 tlb_control;
	u8 reserved_05d[3];
	u64 v_intr;
	u64 interrupt_shadow;
	u64 exit_code;
	u64 exit_info1;
	u64 exit_info2;
	u64 exit_int_info;
	u64 np_enable;
	u64 avic_bar;
	u64 ghcb_pa;
	u64 event_inject;
	u64 n_cr3;
	u64 lbr_control;
	u32 clean;
	u32 reserved_0c4;
	u64 next_rip;
	u8 insn_length;
	u8 insn_bytes[15];
	u8 reserved_0e0[0x400 - 0xe0];
	/* State save area, table B-2. */
	struct x86_segment es, cs, ss, ds, fs, gs, gdtr, ldtr, idtr, tr;
	u8 reserved_4a0[0x4cb - 0x4a0];
	u8 cpl;
	u32 reserved_4cc;
	u64 efer;
	u8 reserved_4d8[0x548 - 0x4d8];
	u64 cr4, cr3, cr0, dr7, dr6, rflags, rip;
	u8 reserved_580[0x5d8 - 0x580];
	u64 rsp;
	u8 reserved_5e0[0x5f8 - 0x5e0];
	u64 rax;
	u64 star, lstar, cstar, sfmask, kernel_gs_base;
	u64 sysenter_cs, sysenter_esp, sysenter_eip;
	u64 cr2;
	u8 reserved_648[0x668 - 0x648];
	u64 g_pat;
	u8 reserved_670[0x1000 - 0x670];
};

static_assert(sizeof(struct vmcb) == 0x1000, "VMCB is one page");
static_assert(offsetof(struct vmcb, iopm_base_pa) == 0x40, "VMCB layout");
static_assert(offsetof(struct vmcb, guest_asid) == 0x58, "VMCB layout");
static_assert(offsetof(struct vmcb, exit_code) == 0x70, "VMCB layout");
static_assert(offsetof(struct vmcb, event_inject) == 0xa8, "VMCB layout");
static_assert(offsetof(struct vmcb, clean) == 0xc0, "VMCB layout");
static_assert(offsetof(struct vmcb, next_rip) == 0xc8, "VMCB layout");
static_assert(offsetof(struct vmcb, es) == 0x400, "VMCB layout");
static_assert(offsetof(struct vmcb, cpl) == 0x4cb, "VMCB layout");
static_assert(offsetof(struct vmcb, efer) == 0x4d0, "VMCB layout");
static_assert(offsetof(struct vmcb, cr4) == 0x548, "VMCB layout");
static_assert(offsetof(struct vmcb, rip) == 0x578, "VMCB layout");
static_assert(offsetof(struct vmcb, rsp) == 0x5d8, "VMCB layout");
static_assert(offsetof(struct vmcb, rax) == 0x5f8, "VMCB layout");
static_assert(offsetof(struct vmcb, cr2) == 0x640, "VMCB layout");
static_assert(offsetof(struct vmcb, g_pat) == 0x668, "VMCB layout");

/* intercept_misc1, offset 00Ch. */
#define INTERCEPT_INTR     ((u32)BIT(0))
#define INTERCEPT_NMI      ((u32)BIT(1))
#define INTERCEPT_SMI      ((u32)BIT(2))
#define INTERCEPT_INIT     ((u32)BIT(3))
#define INTERCEPT_VINTR    ((u32)BIT(4))
#define INTERCEPT_RDPMC    ((u32)BIT(15))
#define INTERCEPT_CPUID    ((u32)BIT(18))
#define INTERCEPT_IRET     ((u32)BIT(20))
#define INTERCEPT_INVD     ((u32)BIT(22))
#define INTERCEPT_PAUSE    ((u32)BIT(23))
#define INTERCEPT_HLT      ((u32)BIT(24))
#define INTERCEPT_INVLPGA  ((u32)BIT(26))
#define INTERCEPT_IOIO     ((u32)BIT(27))
#define INTERCEPT_MSR      ((u32)BIT(28))
#define INTERCEPT_FERR     ((u32)BIT(30))
#define INTERCEPT_SHUTDOWN ((u32)BIT(31))
/* intercept_misc2, offset 010h. */
#define INTERCEPT_SVM_INSNS ((u32)0x7f) /* VMRUN VMMCALL VMLOAD VMSAVE STGI CLGI SKINIT */
#define INTERCEPT_RDTSCP    ((u32)BIT(7))
#define INTERCEPT_ICEBP     ((u32)BIT(8))
#define INTERCEPT_WBINVD    ((u32)BIT(9))
#define INTERCEPT_MONITOR   ((u32)BIT(10))
#define INTERCEPT_MWAIT     ((u32)BIT(11) | (u32)BIT(12))
#define INTERCEPT_XSETBV    ((u32)BIT(13))
#define INTERCEPT_RDPRU     ((u32)BIT(14))

/* v_intr, offset 060h. */
#define V_IRQ          BIT(8)
#define V_IGN_TPR      BIT(20)
#define V_INTR_MASKING BIT(24)

#define TLB_CONTROL_NONE       0
#define TLB_CONTROL_FLUSH_ALL  1
#define TLB_CONTROL_FLUSH_ASID 3

/* Clean bits, section 15.15.3. */
#define CLEAN_INTERCEPTS ((u32)BIT(0))
#define CLEAN_ASID       ((u32)BIT(2))
#define CLEAN_TPR        ((u32)BIT(3))
#define CLEAN_NP         ((u32)BIT(4))
#define CLEAN_ALL        ((u32)0x7ff)

/* Exit codes, appendix C. */
#define VMEXIT_CR0_READ   0x000
#define VMEXIT_CR15_WRITE 0x01f
#define VMEXIT_EXCEPTION  0x040
#define VMEXIT_INTR       0x060
#define VMEXIT_NMI        0x061
#define VMEXIT_SMI        0x062
#define VMEXIT_INIT       0x063
#define VMEXIT_VINTR      0x064
#define VMEXIT_RDPMC      0x06f
#define VMEXIT_CPUID      0x072
#define VMEXIT_IRET       0x074
#define VMEXIT_INVD       0x076
#define VMEXIT_PAUSE      0x077
#define VMEXIT_HLT        0x078
#define VMEXIT_INVLPGA    0x07a
#define VMEXIT_IOIO       0x07b
#define VMEXIT_MSR        0x07c
#define VMEXIT_FERR       0x07e
#define VMEXIT_SHUTDOWN   0x07f
#define VMEXIT_VMRUN      0x080
#define VMEXIT_VMMCALL    0x081
#define VMEXIT_VMLOAD     0x082
#define VMEXIT_SKINIT     0x086
#define VMEXIT_RDTSCP     0x087
#define VMEXIT_ICEBP      0x088
#define VMEXIT_WBINVD     0x089
#define VMEXIT_MONITOR    0x08a
#define VMEXIT_MWAIT      0x08b
#define VMEXIT_MWAIT_COND 0x08c
#define VMEXIT_XSETBV     0x08d
#define VMEXIT_RDPRU      0x08e
#define VMEXIT_NPF        0x400
#define VMEXIT_INVALID    0xffffffffu

#endif
