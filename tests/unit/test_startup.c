/* SPDX-License-Identifier: MIT */
/* INIT and start-up IPIs, to a virtual CPU in every state. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arch/backend.h>
#include <arch/policy.h>
#include <arch/startup.h>
#include <string.h>

/* ---- what a virtual CPU is in ---- */

static struct vcpu cpus_of_vm[2];
static struct vcpu *const first = &cpus_of_vm[0], *const second = &cpus_of_vm[1];
static u32 sets; /* of registers */

/* As hv/vcpu.c does, without a scheduler. */
void vcpu_become(struct vcpu *vcpu, enum vcpu_state state)
{
	if (vcpu->state == VCPU_RUNNING || vcpu->state == VCPU_FROZEN)
		vcpu->next_state = state;
	else
		vcpu->state = state;
	if (vcpu->state == VCPU_RUNNING)
		vcpu->pending |= PENDING_LEAVE;
}

enum vcpu_state vcpu_rests(const struct vcpu *vcpu)
{
	return vcpu->state == VCPU_RUNNING || vcpu->state == VCPU_FROZEN ? vcpu->next_state
									 : vcpu->state;
}

void vcpu_post(struct vcpu *vcpu, u32 bits)
{
	vcpu->pending |= bits;
}

static void get_state(struct vcpu *vcpu)
{
	(void)vcpu;
}

static void set_state(struct vcpu *vcpu)
{
	(void)vcpu;
	sets++;
}

static const struct x86_backend backend = {.get_state = get_state, .set_state = set_state};
const struct x86_backend *x86_backend = &backend;

/* It runs, with registers full of what nobody starts with. */
static int set_up(void **state)
{
	(void)state;
	memset(cpus_of_vm, 0, sizeof(cpus_of_vm));
	sets = 0;
	for (u32 i = 0; i < 2; i++) {
		struct vcpu *vcpu = &cpus_of_vm[i];

		vcpu->index = i;
		vcpu->state = VCPU_RUNNING;
		vcpu->next_state = VCPU_RUNNABLE;
		memset(&vcpu->arch.state, 0xa5, sizeof(vcpu->arch.state));
	}
	return 0;
}

/* ---- tests ---- */

static void test_power_on(void **state)
{
	struct x86_state s;

	(void)state;
	startup_power_on(&s);
	assert_int_equal(s.cs.selector, 0xf000);
	assert_int_equal(s.cs.base + s.rip, 0xffff0);
	assert_int_equal(s.rflags, RFLAGS_FIXED);
	assert_int_equal(s.cr0, CR0_ET);
	assert_int_equal(s.gpr[RDX], SIGNATURE);
	assert_int_equal(s.pat, PAT_RESET);
	assert_int_equal(s.fpu[0] | s.fpu[1] << 8, 0x37f);
}

/* While it runs it is only told to leave; its registers change on its own processor. */
static void test_init_of_one_that_runs(void **state)
{
	struct x86_state *s = &second->arch.state;

	(void)state;
	s->nmi_pending = s->nmi_masked = 1;
	startup_init(second);
	assert_int_equal(second->next_state, VCPU_IDLE);
	assert_true(second->pending & PENDING_LEAVE);
	assert_int_equal(sets, 0);
	startup_settle(second);
	assert_int_equal(sets, 1);
	assert_int_equal(second->next_state, VCPU_IDLE);
	assert_int_equal(s->efer, 0);
	assert_int_equal(s->cr3, 0);
	assert_int_equal(s->event, 0);
	assert_int_equal(s->nmi_pending | s->nmi_masked, 0);
	assert_int_equal(s->cs.base + s->rip, 0xffff0);
	/* What INIT leaves as it is. */
	assert_int_equal(s->fpu[100], 0xa5);
	assert_int_equal(s->pat, 0xa5a5a5a5a5a5a5a5);
	assert_int_equal(s->tsc_adjust, 0xa5a5a5a5a5a5a5a5);
	assert_int_equal(s->cr0, (0xa5a5a5a5a5a5a5a5 & (CR0_CD | CR0_NW)) | CR0_ET);
	startup_settle(second);
	assert_int_equal(sets, 1);
}

static void test_start(void **state)
{
	struct x86_state *s = &second->arch.state;

	(void)state;
	startup_init(second);
	startup_settle(second);
	second->state = VCPU_IDLE;
	startup_begin(second, 0x9b);
	assert_int_equal(second->state, VCPU_RUNNABLE);
	/* The second one is to one that is on its way. */
	startup_begin(second, 0x10);
	startup_settle(second);
	assert_int_equal(s->cs.selector, 0x9b00);
	assert_int_equal(s->cs.base, 0x9b000);
	assert_int_equal(s->rip, 0);
	assert_int_equal(second->state, VCPU_RUNNABLE);
	startup_begin(second, 0x10);
	assert_false(second->arch.startup);
}

/* Both come before its processor has looked. */
static void test_at_once(void **state)
{
	(void)state;
	startup_init(second);
	startup_begin(second, 1);
	assert_int_equal(second->next_state, VCPU_RUNNABLE);
	startup_settle(second);
	assert_int_equal(second->arch.state.cs.base, 0x1000);
	assert_int_equal(second->arch.state.efer, 0);
	assert_int_equal(second->next_state, VCPU_RUNNABLE);
	/* The later INIT takes back what was to be started. */
	startup_init(second);
	startup_begin(second, 2);
	startup_init(second);
	startup_settle(second);
	assert_int_equal(second->next_state, VCPU_IDLE);
	assert_int_equal(second->arch.state.cs.base, 0xf0000);
}

/* The HLT that it was about to leave for must not make it something else. */
static void test_halt_under_way(void **state)
{
	(void)state;
	startup_init(second);
	vcpu_become(second, VCPU_HALTED);
	startup_settle(second);
	assert_int_equal(second->next_state, VCPU_IDLE);
}

static void test_the_first_one(void **state)
{
	(void)state;
	startup_begin(first, 3);
	assert_false(first->arch.startup);
	startup_init(first);
	assert_int_equal(first->next_state, VCPU_RUNNABLE);
	startup_begin(first, 3);
	startup_settle(first);
	assert_int_equal(first->next_state, VCPU_RUNNABLE);
	assert_int_equal(first->arch.state.cs.base + first->arch.state.rip, 0xffff0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_power_on, set_up),
		cmocka_unit_test_setup(test_init_of_one_that_runs, set_up),
		cmocka_unit_test_setup(test_start, set_up),
		cmocka_unit_test_setup(test_at_once, set_up),
		cmocka_unit_test_setup(test_halt_under_way, set_up),
		cmocka_unit_test_setup(test_the_first_one, set_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
