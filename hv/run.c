/* SPDX-License-Identifier: MIT */
/*
 * The exit loop, one for all architectures: look at the pending-work word, prepare interrupts, run,
 * handle. A handler answers with one of four verdicts. What a virtual CPU has alone is handled
 * without the VM's lock, all else with it.
 */
#include <internal/arch.h>
#include <internal/sched.h>
#include <stdio.h>
#include <string.h>

/* The scheduler fetches more, or what is on the volume still, and lets the guest try again. */
static enum hv_verdict fetch_memory(struct vcpu *vcpu)
{
	vcpu->vm->mem_wanted = true;
	vcpu_post(vcpu, PENDING_LEAVE);
	sched_call_boot();
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
dispatch(struct vcpu *vcpu, enum io_space space, u64 address, struct io_access *access)
{
	struct vm *vm = vcpu->vm;
	const struct timer *first = vm->clock.first;
	enum io_result result;

	result = io_dispatch(&vm->io, space, address, access);
	/* A timer that the access armed may be due already; the next tick could be far. */
	if (vm->clock.first != first)
		sched_clock_changed(vcpu);
	return result;
}

enum io_result vcpu_access(struct vcpu *vcpu, enum io_space space, u64 address,
			   struct io_access *access)
{
	access->vcpu = vcpu->index;
	return dispatch(vcpu, space, address, access);
}

__attribute__((always_inline)) static inline enum hv_verdict
handle_access(struct vm *vm, struct vcpu *vcpu, struct hv_exit *exit, enum io_space space)
{
	enum io_result result = dispatch(vcpu, space, exit->address, &exit->access);

	/* It ended; a pause meanwhile is the boot CPU's, and the access has been made. */
	if (vm_is_over(vm))
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

static enum hv_verdict handle_failure(struct vm *vm, const struct hv_exit *exit)
{
	vm_lock(vm);
	vm_fail(vm, "%s", exit->cause);
	vm_unlock(vm);
	return VERDICT_STOP;
}

static enum hv_verdict handle(struct vm *vm, struct vcpu *vcpu, struct hv_exit *exit)
{
	enum hv_verdict verdict = VERDICT_RESUME;

	switch (exit->reason) {
	case EXIT_MEMORY:
		vm_lock(vm);
		verdict = handle_memory(vm, vcpu, exit);
		break;
	case EXIT_PIO:
		vm_lock(vm);
		verdict = handle_access(vm, vcpu, exit, IO_PIO);
		break;
	case EXIT_REG:
		vm_lock(vm);
		verdict = handle_access(vm, vcpu, exit, IO_REG);
		break;
	case EXIT_HALT:
		vm_lock(vm);
		/* Unless another one has just stopped it, or started it again. */
		if (vcpu->next_state == VCPU_RUNNABLE)
			vcpu_become(vcpu, VCPU_HALTED);
		verdict = VERDICT_SKIP;
		break;
	case EXIT_HOST_IRQ:
		if (!arch_host_irq(vcpu))
			vcpu_post(vcpu, PENDING_LEAVE);
		return VERDICT_RESUME;
	case EXIT_WINDOW:
		vcpu_post(vcpu, PENDING_IRQ);
		return VERDICT_RESUME;
	case EXIT_HYPERCALL:
	case EXIT_ARCH:
		return arch_vcpu_handle(vcpu, exit);
	case EXIT_SHUTDOWN:
	case EXIT_FAILED_ENTRY:
	case EXIT_UNKNOWN:
	case EXIT_REASON_COUNT:
		return handle_failure(vm, exit);
	}
	vm_unlock(vm);
	return verdict;
}

/*
 * Does what @vcpu was told to do before its next entry. False: it is to leave. *@again: interrupts
 * are to be looked at after the next exit as well.
 */
static bool prepare(struct vcpu *vcpu, bool *again)
{
	u32 pending = vcpu_pending(vcpu);

	if (pending & PENDING_LEAVE)
		return false;
	/* A bit goes first: who sets it from here on wants it done once more. */
	vcpu_clear(vcpu, pending);
	if (pending & PENDING_FLUSH)
		arch_vcpu_flush(vcpu);
	if (pending & PENDING_IRQ) {
		vm_lock(vcpu->vm);
		*again = arch_vcpu_prepare_irq(vcpu);
		vm_unlock(vcpu->vm);
	}
	return true;
}

/* False: there is something to do first. */
static inline bool enter(struct vcpu *vcpu, struct hv_exit *exit)
{
	bool ready;

	/* In this order: whoever sets a bit after the look sees that it is in the guest. */
	__atomic_store_n(&vcpu->in_guest, 1, __ATOMIC_SEQ_CST);
	ready = !vcpu_pending(vcpu);
	if (ready)
		arch_vcpu_run(vcpu, exit);
	__atomic_store_n(&vcpu->in_guest, 0, __ATOMIC_RELEASE);
	return ready;
}

void vcpu_run(struct vcpu *vcpu)
{
	struct vm *vm = vcpu->vm;
	struct hv_exit *exit = &vcpu->last_exit;
	bool again = false;

	arch_vcpu_load(vcpu);
	vcpu_post(vcpu, PENDING_IRQ);
	for (;;) {
		if (!enter(vcpu, exit)) {
			if (!prepare(vcpu, &again))
				break;
			continue;
		}
		vcpu->exits[exit->reason]++;
		vcpu->exit_history = vcpu->exit_history << 8 | exit->reason;
		if (again)
			vcpu_post(vcpu, PENDING_IRQ);

		enum hv_verdict verdict = handle(vm, vcpu, exit);

		if (verdict == VERDICT_SKIP)
			arch_vcpu_skip(vcpu);
		else if (verdict == VERDICT_FAULT)
			arch_vcpu_fault(vcpu, exit);
		else if (verdict == VERDICT_STOP)
			break;
	}
	vcpu_clear(vcpu, PENDING_LEAVE);
	arch_vcpu_put(vcpu);
}

static_assert(EXIT_REASON_COUNT < 0xff, "a byte for each, and one for none");

void vcpu_init_exits(struct vcpu *vcpu)
{
	vcpu->last_exit = (struct hv_exit){.reason = EXIT_REASON_COUNT, .access.vcpu = vcpu->index};
	vcpu->exit_history = UINT64_MAX;
}

void vcpu_describe_exits(const struct vcpu *vcpu, char *buf, size_t length)
{
	exit_describe(&vcpu->last_exit, buf, length);
	for (u32 i = 1; i < 8; i++) {
		u8 reason = (u8)(vcpu->exit_history >> 8 * i);
		size_t used = strlen(buf);

		if (reason < EXIT_REASON_COUNT)
			snprintf(buf + used, length - used, "; %s", exit_reason_text(reason));
	}
}
