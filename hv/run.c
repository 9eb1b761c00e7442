/* SPDX-License-Identifier: MIT */
/*
 * The exit loop, one for all architectures: look at the pending-work word, prepare interrupts, run,
 * handle. A handler answers with one of four verdicts.
 */
#include <internal/arch.h>
#include <internal/sched.h>
#include <stdio.h>

/* The scheduler fetches more, or what is on the volume still, and lets the guest try again. */
static enum hv_verdict fetch_memory(struct vcpu *vcpu)
{
	vcpu->vm->mem_wanted = true;
	vcpu->pending |= PENDING_LEAVE;
	return VERDICT_RESUME;
}

static enum hv_verdict finish_access(struct vcpu *vcpu, struct hv_exit *exit, enum io_result result)
{
	if (result != IO_DONE)
		return result == IO_FAULT ? VERDICT_FAULT : fetch_memory(vcpu);
	if (!exit->access.is_write)
		arch_vcpu_complete(vcpu, exit);
	return VERDICT_SKIP;
}

/* Inlined where the space is known: most exits are of these. */
__attribute__((always_inline)) static inline enum io_result
dispatch(struct vm *vm, enum io_space space, u64 address, struct io_access *access)
{
	const struct timer *first = vm->clock.first;
	enum io_result result;

	result = io_dispatch(&vm->io, space, address, access);
	/* A timer that the access armed may be due already; the next tick could be far. */
	if (vm->clock.first != first)
		clock_expire(&vm->clock);
	return result;
}

enum io_result vcpu_access(struct vcpu *vcpu, enum io_space space, u64 address,
			   struct io_access *access)
{
	access->vcpu = vcpu->index;
	return dispatch(vcpu->vm, space, address, access);
}

__attribute__((always_inline)) static inline enum hv_verdict
handle_access(struct vm *vm, struct vcpu *vcpu, struct hv_exit *exit, enum io_space space)
{
	enum io_result result = dispatch(vm, space, exit->address, &exit->access);

	if (vm->state != VM_RUNNING)
		return VERDICT_STOP;
	return finish_access(vcpu, exit, result);
}

static enum hv_verdict handle_memory(struct vm *vm, struct vcpu *vcpu, struct hv_exit *exit)
{
	enum hv_verdict verdict;
	enum hv_error err;

	/* Devices are no memory (see vm_create()), and mostly it is the same one again. */
	if (!io_covers_again(&vm->io, IO_MMIO, exit->gpa.v)) {
		err = mem_fault(&vm->mem, exit->gpa, exit->is_write);
		if (err == HV_OK)
			return VERDICT_RESUME;
		if (err == HV_ENO_MEMORY)
			return fetch_memory(vcpu);
	}
	verdict = arch_vcpu_decode(vcpu, exit);

	if (verdict != VERDICT_RESUME)
		return verdict;
	return handle_access(vm, vcpu, exit, IO_MMIO);
}

static enum hv_verdict handle(struct vm *vm, struct vcpu *vcpu, struct hv_exit *exit)
{
	switch (exit->reason) {
	case EXIT_HOST_IRQ:
		vcpu->pending |= PENDING_LEAVE;
		return VERDICT_RESUME;
	case EXIT_MEMORY:
		return handle_memory(vm, vcpu, exit);
	case EXIT_PIO:
		return handle_access(vm, vcpu, exit, IO_PIO);
	case EXIT_REG:
		return handle_access(vm, vcpu, exit, IO_REG);
	case EXIT_HALT:
		vcpu->state = VCPU_HALTED;
		vcpu->pending |= PENDING_LEAVE;
		return VERDICT_SKIP;
	case EXIT_WINDOW:
		vcpu->pending |= PENDING_IRQ;
		return VERDICT_RESUME;
	case EXIT_HYPERCALL:
	case EXIT_ARCH:
		return arch_vcpu_handle(vcpu, exit);
	case EXIT_SHUTDOWN:
	case EXIT_FAILED_ENTRY:
	case EXIT_UNKNOWN:
	case EXIT_REASON_COUNT:
		break;
	}
	vm_fail(vm, "%s", exit->cause);
	return VERDICT_STOP;
}

void vcpu_run(struct vcpu *vcpu)
{
	struct vm *vm = vcpu->vm;
	struct hv_exit exit = {.access.vcpu = vcpu->index};

	vcpu->exit = &exit;
	arch_vcpu_load(vcpu);
	if (!vm->first_entry_counter)
		vm->first_entry_counter = arch_counter();
	vcpu->state = VCPU_RUNNING;
	vcpu->pending |= PENDING_IRQ;
	for (;;) {
		/* Faults, devices and walks of the guest's tables may all have copied a page. */
		if (vm->mem.stale)
			vcpu->pending |= PENDING_FLUSH;
		if (vcpu->pending) {
			if (vcpu->pending & PENDING_LEAVE)
				break;
			if (vcpu->pending & PENDING_FLUSH) {
				vcpu->pending &= ~PENDING_FLUSH;
				vm->mem.stale = false;
				arch_vcpu_flush(vcpu);
			}
			if (vcpu->pending & PENDING_IRQ)
				arch_vcpu_prepare_irq(vcpu);
		}
		arch_vcpu_run(vcpu, &exit);
		vcpu->exits[exit.reason]++;

		enum hv_verdict verdict = handle(vm, vcpu, &exit);

		if (verdict == VERDICT_SKIP)
			arch_vcpu_skip(vcpu);
		else if (verdict == VERDICT_FAULT)
			arch_vcpu_fault(vcpu, &exit);
		else if (verdict == VERDICT_STOP)
			break;
	}
	vcpu->pending &= ~PENDING_LEAVE;
	if (vcpu->state == VCPU_RUNNING)
		vcpu->state = VCPU_RUNNABLE;
	arch_vcpu_put(vcpu);
	vcpu->exit = NULL;
}

void exit_describe(const struct hv_exit *exit, char *buf, size_t length)
{
	static const char *const texts[] = {
#define EXIT_TEXT(name, text) [EXIT_##name] = text,
		HV_EXITS(EXIT_TEXT)
#undef EXIT_TEXT
	};

	switch (exit->reason) {
	case EXIT_MEMORY:
		snprintf(buf, length, "%s, %s at %llxh", texts[exit->reason],
			 exit->is_write ? "write" : "read", (unsigned long long)exit->gpa.v);
		return;
	case EXIT_PIO:
	case EXIT_REG:
		snprintf(buf, length, "%s, %s of %u bytes at %llxh", texts[exit->reason],
			 exit->access.is_write ? "write" : "read", exit->access.size,
			 (unsigned long long)exit->address);
		return;
	default:
		snprintf(buf, length, "%s", texts[exit->reason]);
	}
}
