/* SPDX-License-Identifier: MIT */
/*
 * What an architecture supplies. Declared and described once, here, on the generic side; each of
 * arch/x86_64, arch/arm64 and arch/fake implements all of it.
 *
 * Three contexts. Firmware context is exactly what the firmware had: the scheduler, the monitor and
 * everything that calls host_*() run in it. arch_vcpu_load() enters hypervisor context: interrupts
 * held back, anew's own exception vectors, the guest's FPU and system registers in place; only
 * arch_vcpu_run() and the handling of exits happen there. arch_vcpu_put() goes back, and interrupts
 * that came in between are taken by the firmware's own handlers then.
 */
#ifndef HV_ARCH_H
#define HV_ARCH_H

#include <internal/exit.h>
#include <internal/mem.h>
#include <internal/vcpu.h>
#include <internal/vm.h>

/* ---- the machine ---- */

/*
 * Checks everything that anew needs of the processor, before anything is touched. Each missing
 * thing is said in one log_error() line: what, where, what to do. HV_EUNSUPPORTED if any is.
 */
HV_MUST_CHECK enum hv_error arch_check(void);
/* Turns virtualisation on for this processor, and off again, leaving it as it was found. */
HV_MUST_CHECK enum hv_error arch_cpu_on(void);
void arch_cpu_off(void);
/* "x86_64"; "AMD SVM". */
const char *arch_name(void);
const char *arch_backend_name(void);

/* The counter that guest time derives from; arch_counter_hz() is valid after arch_cpu_on(). */
u64 arch_counter(void);
u64 arch_counter_hz(void);

/*
 * Besides, <arch/page.h> has page_copy() and page_zero() for whole pages of 4 KiB: guests' memory
 * is made of them, and the C library's functions have to suit any length.
 */

/* How second-stage entries look. */
const struct stage2_format *arch_stage2_format(void);
/* Smallest unit of memory that a device may be given alone, bytes. */
u64 arch_device_page(void);

/* ---- virtual machines ---- */

/*
 * Builds the machine: memory slots, interrupt controllers, devices on vm->io, state records.
 * vm->config is complete, vm->mem is empty. Said in a log line when it fails.
 */
HV_MUST_CHECK enum hv_error arch_vm_init(struct vm *vm);
void arch_vm_fini(struct vm *vm);
/* Puts devices and virtual CPUs into their state after power-on, and loads the kernel again. */
HV_MUST_CHECK enum hv_error arch_vm_reset(struct vm *vm);

HV_MUST_CHECK enum hv_error arch_vcpu_init(struct vcpu *vcpu);
void arch_vcpu_fini(struct vcpu *vcpu);

/* To hypervisor context with @vcpu's registers in place, and back. */
void arch_vcpu_load(struct vcpu *vcpu);
void arch_vcpu_put(struct vcpu *vcpu);

/* One entry, one exit. */
void arch_vcpu_run(struct vcpu *vcpu, struct hv_exit *exit);

/*
 * Before an entry, when PENDING_IRQ is set: gives the virtual CPU its next interrupt, or asks for
 * an exit when it can take one. Clears PENDING_IRQ when there is nothing left to watch for.
 */
void arch_vcpu_prepare_irq(struct vcpu *vcpu);
/* Whether an interrupt would wake a halted @vcpu. */
bool arch_vcpu_has_irq(const struct vcpu *vcpu);
/* Before the next entry, drop every cached second-stage translation of this VM. */
void arch_vcpu_flush(struct vcpu *vcpu);

/* Exits of reason EXIT_ARCH and EXIT_HYPERCALL: the architecture's own. */
enum hv_verdict arch_vcpu_handle(struct vcpu *vcpu, struct hv_exit *exit);
/*
 * An EXIT_MEMORY at a device: fills exit->address and exit->access from the instruction.
 * VERDICT_RESUME: dispatch it; VERDICT_SKIP, VERDICT_FAULT, VERDICT_STOP: as always.
 */
enum hv_verdict arch_vcpu_decode(struct vcpu *vcpu, struct hv_exit *exit);
/* After the bus answered a MEMORY, PIO or REG exit: gives a read's value to the guest. */
void arch_vcpu_complete(struct vcpu *vcpu, const struct hv_exit *exit);
void arch_vcpu_skip(struct vcpu *vcpu);
void arch_vcpu_fault(struct vcpu *vcpu, const struct hv_exit *exit);

/* The registers in words, for `info` and for a VM that failed. Returns bytes written. */
size_t arch_vcpu_describe(struct vcpu *vcpu, char *buf, size_t length);

#endif
