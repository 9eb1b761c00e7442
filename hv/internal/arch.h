/* SPDX-License-Identifier: MIT */
/*
 * What an architecture supplies. Declared and described once, here, on the generic side; each of
 * arch/x86_64, arch/arm64 and arch/fake implements all of it.
 *
 * Three contexts. Firmware context is exactly what the firmware had, on the boot CPU: its
 * scheduler, the monitor and everything that calls host_*() run in it. arch_vcpu_load() enters
 * hypervisor context: interrupts held back, anew's own exception vectors, the guest's FPU and
 * system registers in place; only arch_vcpu_run() and the handling of exits happen there.
 * arch_vcpu_put() goes back, and interrupts that came in between are taken by the firmware's own
 * handlers then.
 *
 * The other processors know no firmware: from arch_cpu_start() to arch_cpu_stop() they are anew's
 * alone, with its exception vectors and interrupts held back but for arch_cpu_sleep().
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
/*
 * Turns virtualisation on for @cpu, which is the one that this runs on, and off again, leaving it
 * as it was found. What is for all processors the boot CPU's call does, which comes first.
 */
HV_MUST_CHECK enum hv_error arch_cpu_on(struct cpu *cpu);
void arch_cpu_off(struct cpu *cpu);
/* "x86_64"; "AMD SVM". */
const char *arch_name(void);
const char *arch_backend_name(void);

/* The counter that guest time derives from; arch_counter_hz() is valid after arch_cpu_on(). */
u64 arch_counter(void);
u64 arch_counter_hz(void);

/*
 * Besides, <arch/page.h> has page_copy() and page_zero() for whole pages of 4 KiB: guests' memory
 * is made of them, and the C library's functions have to suit any length. <arch/crc32c.h> has
 * crc32c_has_word(), whether the processor computes CRC-32C, and crc32c_word(), which adds the
 * eight bytes of a word to one, the lowest first and without inverting anything.
 */

/* How second-stage entries look. */
const struct stage2_format *arch_stage2_format(void);
/* Smallest unit of memory that a device may be given alone, bytes. */
u64 arch_device_page(void);

/* ---- processors ---- */

/* Whether this runs on the boot CPU; in any context, at any time. */
bool arch_on_boot_cpu(void);
/*
 * Fills in index and id of cpus[], from 1 on, for every processor beside the boot CPU that the
 * firmware has in use, CPU_MAX at most; returns how many there are with the boot CPU. Boot CPU,
 * firmware context; after arch_cpu_on().
 */
u32 arch_cpus_find(void);
/*
 * Has @cpu do arch_cpu_on(), sched_main() and arch_cpu_off(). Returns when it has arrived in
 * sched_main(); the error is said in a log line. Boot CPU, firmware context.
 */
HV_MUST_CHECK enum hv_error arch_cpu_start(struct cpu *cpu);
/* Waits until @cpu, whose sched_main() ends, is the firmware's again. Boot CPU, firmware context.
 */
void arch_cpu_stop(struct cpu *cpu);
/*
 * An interrupt for @cpu that ends what it is doing soon: a guest's run (EXIT_HOST_IRQ), or its
 * sleep. Any context, from any processor; cpu->kicked is set.
 */
void arch_cpu_kick(struct cpu *cpu);
/*
 * Sleeps until the counter is @until (UINT64_MAX: for ever) or an interrupt comes; not at all if
 * cpu->kicked is set. @cpu is the one that this runs on, and not the boot CPU, whose sleep is
 * host_idle().
 */
void arch_cpu_sleep(struct cpu *cpu, u64 until);
/*
 * From now on there is an EXIT_HOST_IRQ when the counter is @at; UINT64_MAX: not for that reason.
 * @cpu is the one that this runs on. Where the architecture has no timer that is not the
 * firmware's, its tick has to do.
 */
void arch_cpu_timer(struct cpu *cpu, u64 at);
/*
 * After EXIT_HOST_IRQ: takes what interrupts anew can take itself. True: these were kicks and
 * nothing else, the guest may go on; false: somebody has to look in firmware context, or its time
 * is over.
 */
bool arch_host_irq(struct vcpu *vcpu);

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

/*
 * To hypervisor context with @vcpu's registers in place, and back, on vcpu->cpu. The VM's lock is
 * not held.
 */
void arch_vcpu_load(struct vcpu *vcpu);
void arch_vcpu_put(struct vcpu *vcpu);

/* One entry, one exit. */
void arch_vcpu_run(struct vcpu *vcpu, struct hv_exit *exit);

/*
 * Before an entry, when PENDING_IRQ was set: gives the virtual CPU its next interrupt, or asks for
 * an exit when it can take one. True: it wants to be asked again after the next exit, whatever that
 * is. The VM's lock is held.
 */
HV_MUST_CHECK bool arch_vcpu_prepare_irq(struct vcpu *vcpu);
/* Whether an interrupt would wake a halted @vcpu, which doesn't run. The VM's lock is held. */
bool arch_vcpu_has_irq(const struct vcpu *vcpu);
/*
 * Before the next entry, drop every cached second-stage translation of this VM that @vcpu could use
 * on vcpu->cpu.
 */
void arch_vcpu_flush(struct vcpu *vcpu);

/*
 * Exits of reason EXIT_ARCH and EXIT_HYPERCALL: the architecture's own. The VM's lock is not held;
 * what needs it takes it.
 */
enum hv_verdict arch_vcpu_handle(struct vcpu *vcpu, struct hv_exit *exit);
/*
 * An EXIT_MEMORY at a device: fills exit->address and exit->access from the instruction.
 * VERDICT_RESUME: dispatch it; VERDICT_SKIP, VERDICT_FAULT, VERDICT_STOP: as always. The VM's lock
 * is held.
 */
enum hv_verdict arch_vcpu_decode(struct vcpu *vcpu, struct hv_exit *exit);
/*
 * After the bus answered a MEMORY, PIO or REG exit: gives a read's value to the guest. The VM's
 * lock is held.
 */
void arch_vcpu_complete(struct vcpu *vcpu, const struct hv_exit *exit);
void arch_vcpu_skip(struct vcpu *vcpu);
void arch_vcpu_fault(struct vcpu *vcpu, const struct hv_exit *exit);

/* The registers in words, for `info` and for a VM that failed. Returns bytes written. */
size_t arch_vcpu_describe(struct vcpu *vcpu, char *buf, size_t length);

#endif
