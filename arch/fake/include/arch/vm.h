/* SPDX-License-Identifier: MIT */
/* A machine with RAM from address 0 and whatever a test adds to it. */
#ifndef ARCH_VM_H
#define ARCH_VM_H

#include <hv/error.h>
#include <hv/types.h>
#include <internal/mem.h>

struct cpu;
struct hv_exit;
struct vcpu;
struct vm;

struct vm_arch {
	u32 resets;
	void *test; /* the test's own */
};

/* What a test may set. */
struct fake_machine {
	u64 counter; /* arch_counter() */
	u64 counter_hz;
	enum hv_error (*vm_init)(struct vm *vm);  /* adds devices; may be NULL */
	void (*vm_fini)(struct vm *vm);           /* may be NULL */
	enum hv_error (*vm_reset)(struct vm *vm); /* may be NULL */
	bool *in_firmware; /* host_context_firmware, for a test that has a host; may be NULL */
	/* For tests whose processors are threads; NULL: what is described in vcpu.h. */
	u64 (*now)(void);
	void (*kick)(struct cpu *cpu);
	void (*sleep)(struct cpu *cpu, u64 until);
	bool (*host_irq)(struct vcpu *vcpu);
	void (*run)(struct vcpu *vcpu, struct hv_exit *exit);
	void (*prepare_irq)(struct vcpu *vcpu);
	bool (*has_irq)(const struct vcpu *vcpu);
};

extern struct fake_machine fake_machine;

/*
 * Second-stage formats: like x86_64, where the hardware walks shared tables and reads, and like
 * arm64, where a shared table is not there for the hardware. arch_stage2_format() is the first.
 */
extern const struct stage2_format fake_format_walkable;
extern const struct stage2_format fake_format_hidden;

#endif
