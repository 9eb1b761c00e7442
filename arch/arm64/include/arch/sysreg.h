/* SPDX-License-Identifier: MIT */
/*
 * System registers of arm64: access, names that older assemblers don't know, and the bits that anew
 * uses. Arm ARM (DDI 0487), chapters D19 and D24; GIC registers: IHI 0069 section 12.
 */
#ifndef ARCH_SYSREG_H
#define ARCH_SYSREG_H

#include <hv/types.h>

/* @name is a string, so that encodings without a name can be given as well. */
#define sysreg_read(name)                                                                          \
	({                                                                                         \
		u64 value_;                                                                        \
		__asm__ volatile("mrs %0, " name : "=r"(value_) : : "memory");                     \
		value_;                                                                            \
	})
#define sysreg_write(name, value)                                                                  \
	__asm__ volatile("msr " name ", %0" : : "r"((u64)(value)) : "memory")

static inline void isb(void)
{
	__asm__ volatile("isb" : : : "memory");
}

/* Inner shareable: every processor that may run a guest. */
static inline void dsb_ish(void)
{
	__asm__ volatile("dsb ish" : : : "memory");
}

/*
 * The number of a system register on the bus of registers: as the syndrome of a trapped access has
 * it, without direction and general register. Arm ARM D19.2.37, "exception from MSR, MRS".
 */
#define SYSREG(op0, op1, crn, crm, op2)                                                            \
	((u32)(op0) << 20 | (u32)(op2) << 17 | (u32)(op1) << 14 | (u32)(crn) << 10 |               \
	 (u32)(crm) << 1)
#define SYSREG_MASK 0x3ffc1eu
#define SYSREG_END  BIT(22)
/* Op0, Op1 and CRn of it. */
#define SYSREG_GROUP(reg) ((reg)&SYSREG(3, 7, 15, 0, 0))
#define SYSREG_OP0(reg)   ((reg) >> 20 & 3)
#define SYSREG_OP1(reg)   ((reg) >> 14 & 7)
#define SYSREG_CRN(reg)   ((reg) >> 10 & 15)
#define SYSREG_CRM(reg)   ((reg) >> 1 & 15)
#define SYSREG_OP2(reg)   ((reg) >> 17 & 7)

/* HCR_EL2 */
#define HCR_VM    BIT(0)
#define HCR_SWIO  BIT(1)
#define HCR_FMO   BIT(3)
#define HCR_IMO   BIT(4)
#define HCR_AMO   BIT(5)
#define HCR_TWI   BIT(13)
#define HCR_TWE   BIT(14)
#define HCR_TID3  BIT(18)
#define HCR_TSC   BIT(19)
#define HCR_TIDCP BIT(20)
#define HCR_TACR  BIT(21)
#define HCR_RW    BIT(31)
#define HCR_E2H   BIT(34)
#define HCR_TLOR  BIT(35)
#define HCR_FWB   BIT(46)
#define HCR_TID5  BIT(58)

/* MDCR_EL2 */
#define MDCR_HPMN  ((u64)0x1f)
#define MDCR_TPMCR BIT(5)
#define MDCR_TPM   BIT(6)
#define MDCR_TDA   BIT(9)
#define MDCR_TDOSA BIT(10)
#define MDCR_TDRA  BIT(11)

/* ESR_ELx */
#define ESR_EC(esr)     ((u32)((esr) >> 26) & 0x3f)
#define ESR_EC_SHIFT    26
#define ESR_IL          BIT(25)
#define EC_UNKNOWN      0x00
#define EC_WFX          0x01
#define ESR_WFE         BIT(0) /* of EC_WFX: WFE, not WFI */
#define EC_HVC64        0x16
#define EC_SMC64        0x17
#define EC_SYSREG       0x18
#define EC_IABT_LOW     0x20
#define EC_DABT_LOW     0x24
#define ESR_ISV         BIT(24)
#define ESR_SAS(esr)    ((u32)((esr) >> 22) & 3)
#define ESR_SSE         BIT(21)
#define ESR_SRT(esr)    ((esr) >> 16 & 31)
#define ESR_SF          BIT(15)
#define ESR_CM          BIT(8)
#define ESR_S1PTW       BIT(7)
#define ESR_WNR         BIT(6)
#define ESR_FSC(esr)    ((u32)(esr)&0x3f)
#define FSC_TYPE(fsc)   ((fsc)&0x3c)
#define FSC_PERMISSION  0x0c
#define FSC_OTHER       0x38              /* 0 for address size and translation faults alone */
#define FSC_EXTERNAL    0x10              /* synchronous external abort, not on a walk */
#define FSC_EXTERNAL_L0 0x14              /* the same on a walk, level in bits 0-1 */
#define ESR_READ        BIT(0)            /* of a system register: MRS, not MSR */
#define ESR_RT(esr)     ((esr) >> 5 & 31) /* the same */

/* PSTATE, as in SPSR_ELx */
#define PSTATE_EL1H   ((u64)0x5)
#define PSTATE_SP     BIT(0)
#define PSTATE_32     BIT(4)
#define PSTATE_F      BIT(6)
#define PSTATE_I      BIT(7)
#define PSTATE_A      BIT(8)
#define PSTATE_D      BIT(9)
#define PSTATE_DAIF   (PSTATE_D | PSTATE_A | PSTATE_I | PSTATE_F)
#define PSTATE_SS     BIT(21)
#define PSTATE_EL(ps) ((u32)((ps) >> 2) & 3)

/* CNTx_CTL_EL0 */
#define TIMER_ENABLE  BIT(0)
#define TIMER_IMASK   BIT(1)
#define TIMER_ISTATUS BIT(2)

/* Registers of EL1 that EL2 reaches by other names where HCR_EL2.E2H is 1. Arm ARM D8.15. */
#define SCTLR_EL12      "S3_5_C1_C0_0"
#define CPACR_EL12      "S3_5_C1_C0_2"
#define TTBR0_EL12      "S3_5_C2_C0_0"
#define TTBR1_EL12      "S3_5_C2_C0_1"
#define TCR_EL12        "S3_5_C2_C0_2"
#define SPSR_EL12       "S3_5_C4_C0_0"
#define ELR_EL12        "S3_5_C4_C0_1"
#define AFSR0_EL12      "S3_5_C5_C1_0"
#define AFSR1_EL12      "S3_5_C5_C1_1"
#define ESR_EL12        "S3_5_C5_C2_0"
#define FAR_EL12        "S3_5_C6_C0_0"
#define MAIR_EL12       "S3_5_C10_C2_0"
#define AMAIR_EL12      "S3_5_C10_C3_0"
#define VBAR_EL12       "S3_5_C12_C0_0"
#define CONTEXTIDR_EL12 "S3_5_C13_C0_1"
#define CNTKCTL_EL12    "S3_5_C14_C1_0"
#define CNTP_CTL_EL02   "S3_5_C14_C2_1"
#define CNTV_CTL_EL02   "S3_5_C14_C3_1"
#define CNTV_CVAL_EL02  "S3_5_C14_C3_2"

#define HCRX_EL2 "S3_4_C1_C2_2"

/* GICv3: the processor's interface and its virtual side. */
#define ICC_IGRPEN0_EL1 "S3_0_C12_C12_6"
#define ICC_IGRPEN1_EL1 "S3_0_C12_C12_7"
#define ICC_PMR_EL1     "S3_0_C4_C6_0"
#define ICC_SGI0R_EL1   "S3_0_C12_C11_7"
#define ICC_SGI1R_EL1   "S3_0_C12_C11_5"
#define ICC_SRE_EL1     "S3_0_C12_C12_5"
#define ICC_SRE_EL2     "S3_4_C12_C9_5"
#define ICH_HCR_EL2     "S3_4_C12_C11_0"
#define ICH_VTR_EL2     "S3_4_C12_C11_1"
#define ICH_MISR_EL2    "S3_4_C12_C11_2"
#define ICH_VMCR_EL2    "S3_4_C12_C11_7"

#endif
