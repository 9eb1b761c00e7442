/* SPDX-License-Identifier: MIT */
/*
 * Calls by HVC and SMC: SMC Calling Convention (DEN0028) and PSCI 1.1 (DEN0022, section 5).
 * Whatever is unknown is answered with NOT_SUPPORTED, as the convention wants.
 */
#include <internal/arch.h>

#include "el2.h"

#define SMCCC_VERSION       0x80000000u
#define SMCCC_ARCH_FEATURES 0x80000001u
#define SMCCC_1_1           0x10001u

/* Function numbers are the same with 64-bit arguments but for this bit. */
#define CALL_64 0x40000000u

#define PSCI_VERSION           0x84000000u
#define PSCI_CPU_SUSPEND       0x84000001u
#define PSCI_CPU_OFF           0x84000002u
#define PSCI_CPU_ON            0x84000003u
#define PSCI_AFFINITY_INFO     0x84000004u
#define PSCI_MIGRATE_INFO_TYPE 0x84000006u
#define PSCI_SYSTEM_OFF        0x84000008u
#define PSCI_SYSTEM_RESET      0x84000009u
#define PSCI_FEATURES          0x8400000au
#define PSCI_1_1               0x10001u

#define SUCCESS            ((u64)0)
#define NOT_SUPPORTED      ((u64)-1)
#define INVALID_PARAMETERS ((u64)-2)
#define DENIED             ((u64)-3)
#define ALREADY_ON         ((u64)-4)
#define INVALID_ADDRESS    ((u64)-9)

/* AFFINITY_INFO */
#define CPU_IS_ON  ((u64)0)
#define CPU_IS_OFF ((u64)1)

/* MIGRATE_INFO_TYPE: there is no trusted OS that would care. */
#define NO_TRUSTED_OS ((u64)2)

/* The virtual CPU with the affinity @mpidr; NULL when there is none. */
static struct vcpu *find(struct vm *vm, u64 mpidr)
{
	for (u32 i = 0; i < vm->vcpu_count; i++)
		if (vgic_affinity(i) == mpidr)
			return &vm->vcpus[i];
	return NULL;
}

/* Whether it is off, and its registers are in memory: one that goes off is on until it has gone. */
static bool is_off(const struct vcpu *vcpu)
{
	return vcpu->state != VCPU_RUNNING && vcpu_rests(vcpu) == VCPU_IDLE;
}

static u64 affinity_info(struct vm *vm, u64 mpidr, u64 level)
{
	const struct vcpu *target = find(vm, mpidr);

	if (level || !target)
		return INVALID_PARAMETERS;
	return is_off(target) ? CPU_IS_OFF : CPU_IS_ON;
}

/* Of two at once for one target, the second finds it on. */
static u64 cpu_on(struct vm *vm, u64 mpidr, u64 pc, u64 context)
{
	struct vcpu *target = find(vm, mpidr);

	if (!target)
		return INVALID_PARAMETERS;
	if (!is_off(target))
		return ALREADY_ON;
	if (pc - RAM_BASE >= vm->config.memory || pc % 4)
		return INVALID_ADDRESS;
	vcpu_reset_state(target, pc, context);
	vgic_reset_cpu_if(&vm->arch.gic, target->index);
	vcpu_post(target, PENDING_IRQ);
	vcpu_become(target, VCPU_RUNNABLE);
	return SUCCESS;
}

/* The last one that is on may not go: that would be SYSTEM_OFF. */
static u64 cpu_off(struct vcpu *vcpu)
{
	struct vm *vm = vcpu->vm;

	for (u32 i = 0; i < vm->vcpu_count; i++) {
		if (i == vcpu->index || vcpu_rests(&vm->vcpus[i]) == VCPU_IDLE)
			continue;
		vcpu_become(vcpu, VCPU_IDLE);
		return SUCCESS;
	}
	return DENIED;
}

static u64 features(u32 function)
{
	switch (function) {
	case PSCI_VERSION:
	case PSCI_CPU_SUSPEND:
	case PSCI_CPU_SUSPEND | CALL_64:
	case PSCI_CPU_OFF:
	case PSCI_CPU_ON:
	case PSCI_CPU_ON | CALL_64:
	case PSCI_AFFINITY_INFO:
	case PSCI_AFFINITY_INFO | CALL_64:
	case PSCI_MIGRATE_INFO_TYPE:
	case PSCI_SYSTEM_OFF:
	case PSCI_SYSTEM_RESET:
	case PSCI_FEATURES:
	case SMCCC_VERSION:
		return SUCCESS;
	default:
		return NOT_SUPPORTED;
	}
}

/* Function identifiers, DEN0028 section 2.5: bits 29-24 say whose the function is. */
#define OWNER(function)  ((function) >> 24 & 0x3f)
#define OWNER_ARM        0
#define OWNER_STANDARD   4
#define NUMBER(function) ((function) & ~CALL_64)

static u64 arm_call(u32 function, u64 a1)
{
	if (function == SMCCC_VERSION)
		return SMCCC_1_1;
	if (function == SMCCC_ARCH_FEATURES && (a1 == SMCCC_VERSION || a1 == SMCCC_ARCH_FEATURES))
		return SUCCESS;
	return NOT_SUPPORTED;
}

/* What concerns more than the virtual CPU that calls; the VM's lock is held. */
static enum hv_verdict vm_call(struct vcpu *vcpu, u32 function)
{
	struct vm *vm = vcpu->vm;
	u64 *x = vcpu->arch.state.x;
	/* Arguments of the 32-bit forms have 32 bits. */
	u64 mask = function & CALL_64 ? UINT64_MAX : UINT32_MAX;

	switch (NUMBER(function)) {
	case PSCI_CPU_SUSPEND:
		/* Standby is all there is: it may be like WFI whatever was asked for (5.4.5). */
		x[0] = SUCCESS;
		vcpu_become(vcpu, VCPU_HALTED);
		break;
	case PSCI_CPU_OFF:
		x[0] = cpu_off(vcpu);
		break;
	case PSCI_CPU_ON:
		x[0] = cpu_on(vm, x[1] & mask, x[2] & mask, x[3] & mask);
		break;
	case PSCI_AFFINITY_INFO:
		x[0] = affinity_info(vm, x[1] & mask, x[2] & mask);
		break;
	case PSCI_SYSTEM_OFF:
		vm_power_off(vm);
		return VERDICT_STOP;
	case PSCI_SYSTEM_RESET:
		vm_request_reset(vm);
		return VERDICT_STOP;
	}
	return VERDICT_RESUME;
}

static enum hv_verdict standard_call(struct vcpu *vcpu, u32 function)
{
	u64 *x = vcpu->arch.state.x;
	enum hv_verdict verdict;

	if (features(function)) {
		x[0] = NOT_SUPPORTED;
		return VERDICT_RESUME;
	}
	switch (NUMBER(function)) {
	case PSCI_VERSION:
		x[0] = PSCI_1_1;
		return VERDICT_RESUME;
	case PSCI_MIGRATE_INFO_TYPE:
		x[0] = NO_TRUSTED_OS;
		return VERDICT_RESUME;
	case PSCI_FEATURES:
		x[0] = features((u32)x[1]);
		return VERDICT_RESUME;
	}
	vm_lock(vcpu->vm);
	verdict = vm_call(vcpu, function);
	vm_unlock(vcpu->vm);
	return verdict;
}

enum hv_verdict psci_call(struct vcpu *vcpu)
{
	u64 *x = vcpu->arch.state.x;
	u32 function = (u32)x[0];

	if (OWNER(function) == OWNER_STANDARD)
		return standard_call(vcpu, function);
	x[0] = OWNER(function) == OWNER_ARM ? arm_call(function, (u32)x[1]) : NOT_SUPPORTED;
	return VERDICT_RESUME;
}
