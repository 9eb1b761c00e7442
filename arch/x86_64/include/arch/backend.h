/* SPDX-License-Identifier: MIT */
/*
 * What a vendor's virtualisation supplies to arch/x86_64. One constant table each, chosen at boot;
 * nothing else in the tree names a vendor, and a backend knows no device.
 */
#ifndef ARCH_BACKEND_H
#define ARCH_BACKEND_H

#include <arch/mmu.h>
#include <arch/x86.h>
#include <internal/vcpu.h>
#include <internal/vm.h>

struct x86_backend {
	const char *name;
	/* Says each missing requirement; HV_ENOT_FOUND if the processor is another vendor's. */
	enum hv_error (*probe)(void);
	/* On @cpu itself, whose pages are there: the boot CPU first, and last to be off. */
	enum hv_error (*cpu_on)(struct cpu *cpu);
	void (*cpu_off)(struct cpu *cpu);
	enum hv_error (*vcpu_init)(struct vcpu *vcpu);
	void (*vcpu_fini)(struct vcpu *vcpu);
	/*
	 * Everything that the firmware's context doesn't share: see arch_vcpu_load(). @pauses: with
	 * exits when it spins, which is what PAUSE says.
	 */
	void (*load)(struct vcpu *vcpu, bool pauses);
	void (*put)(struct vcpu *vcpu);
	void (*run)(struct vcpu *vcpu, struct hv_exit *exit);
	/*
	 * Between the control block and vcpu->arch.state, all but FPU and debug registers. Setting
	 * flushes what the guest's own tables made, if what they depend on has changed.
	 */
	void (*get_state)(struct vcpu *vcpu);
	void (*set_state)(struct vcpu *vcpu);
	/*
	 * Gives the guest an event (EVENTINJ form, APM vol. 2 section 15.20) with the next entry;
	 * false if an earlier one is still waiting or the guest holds interrupts off. After an NMI
	 * there is an X86_EXIT_IRET, once, before the guest executes an IRET.
	 */
	bool (*inject)(struct vcpu *vcpu, u32 event, u32 error_code);
	/* Takes those of the machine that are waiting, after an exit for one. */
	void (*take_interrupts)(void);
	/* Asks for EXIT_WINDOW when interrupts open, or no longer. */
	void (*request_window)(struct vcpu *vcpu, bool on);
	void (*flush)(struct vcpu *vcpu);
	void (*get_mode)(const struct vcpu *vcpu, struct x86_mode *mode);
};

extern const struct x86_backend svm_backend;
/* The one in use, after arch_check(). */
extern const struct x86_backend *x86_backend;

/* EVENTINJ: bits 0-7 vector, 8-10 type, 11 error code valid, 31 valid. */
#define EVENT_VALID     ((u32)BIT(31))
#define EVENT_ERROR     ((u32)BIT(11))
#define EVENT_INTERRUPT ((u32)0 << 8)
#define EVENT_NMI       ((u32)2 << 8)
#define EVENT_EXCEPTION ((u32)3 << 8)
#define EVENT_SOFTWARE  ((u32)4 << 8)
#define EVENT_TYPE(e)   ((e) & (u32)0x700)

/* Codes of EXIT_ARCH that backends report to vcpu.c. */
enum x86_exit {
	X86_EXIT_CPUID,
	X86_EXIT_CR,         /* access to a control register, instruction to be decoded */
	X86_EXIT_UD,         /* what the policy hides: #UD */
	X86_EXIT_WBINVD,     /* done by skipping: guests reach no device that isn't coherent */
	X86_EXIT_STRING_PIO, /* exit->address: port; instruction to be decoded */
	X86_EXIT_EXCEPTION,  /* exit->address: vector to be given to the guest as it was */
	X86_EXIT_IRET,
	X86_EXIT_PAUSE, /* exit->address: not 0, after many; 0, after one */
};

#endif
