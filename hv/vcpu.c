/* SPDX-License-Identifier: MIT */
#include <hv/log.h>
#include <internal/arch.h>
#include <internal/sched.h>

#define NEXT(name) BIT(VCPU_##name)

const char *vcpu_state_text(enum vcpu_state state)
{
	static const char *const texts[] = {
#define VCPU_STATE_TEXT(name, text, next) [VCPU_##name] = text,
		VCPU_STATES(VCPU_STATE_TEXT)
#undef VCPU_STATE_TEXT
	};

	return texts[state];
}

void vcpu_set_state(struct vcpu *vcpu, enum vcpu_state state)
{
	static const u64 legal[] = {
#define VCPU_STATE_NEXT(name, text, next) [VCPU_##name] = (next),
		VCPU_STATES(VCPU_STATE_NEXT)
#undef VCPU_STATE_NEXT
	};

	if (!(legal[vcpu->state] & BIT(state)))
		panic("a vCPU that is %s can't become %s", vcpu_state_text(vcpu->state),
		      vcpu_state_text(state));
	vcpu->state = state;
}

void vcpu_post(struct vcpu *vcpu, u32 bits)
{
	__atomic_or_fetch(&vcpu->pending, bits, __ATOMIC_SEQ_CST);
	/* It says so before it looks at the bits for the last time: run.c. */
	if (__atomic_load_n(&vcpu->in_guest, __ATOMIC_SEQ_CST))
		arch_cpu_kick(vcpu->cpu);
}

void vcpu_become(struct vcpu *vcpu, enum vcpu_state state)
{
	HV_ASSERT(state == VCPU_IDLE || state == VCPU_RUNNABLE || state == VCPU_HALTED);
	if (vcpu->state == VCPU_RUNNING || vcpu->state == VCPU_FROZEN) {
		vcpu->next_state = state;
		if (vcpu->state == VCPU_RUNNING)
			vcpu_post(vcpu, PENDING_LEAVE);
		return;
	}
	if (vcpu->state == state)
		return;
	vcpu_set_state(vcpu, state);
	if (state == VCPU_RUNNABLE)
		sched_wake(vcpu);
}

enum vcpu_state vcpu_rests(const struct vcpu *vcpu)
{
	if (vcpu->state == VCPU_RUNNING || vcpu->state == VCPU_FROZEN)
		return vcpu->next_state;
	return vcpu->state;
}

static const enum vcpu_state run_states[VCPU_RUN_STATES] = {VCPU_RUNNABLE, VCPU_HALTED, VCPU_IDLE};

u8 vcpu_save_rests(const struct vcpu *vcpu)
{
	u8 saved = 0;

	while (run_states[saved] != vcpu_rests(vcpu))
		saved++;
	return saved;
}

void vcpu_load_rests(struct vcpu *vcpu, u8 saved)
{
	vcpu_become(vcpu, run_states[saved]);
}
