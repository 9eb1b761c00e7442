/* SPDX-License-Identifier: MIT */
#include <internal/arch.h>
#include <internal/log.h>
#include <stdio.h>
#include <stdlib.h>

struct fake_machine fake_machine = {.counter_hz = NS_PER_SEC};

#define PRESENT BIT(0)
#define WRITE   BIT(1)
#define TABLE   BIT(7)
#define SHARED  BIT(58)
#define ADDRESS (((u64)1 << 52) - PAGE_SIZE)

const struct stage2_format fake_format_walkable = {
	.address_mask = ADDRESS,
	.page_bits = PRESENT | WRITE,
	.block_bits = PRESENT | WRITE | TABLE,
	.table_bits = PRESENT | WRITE,
	.table_shared_bits = PRESENT | SHARED,
	.write_bit = WRITE,
	.present_bit = PRESENT,
	.leaf_bit = TABLE,
	.leaf_value = TABLE,
	.shared_bit = SHARED,
	.shared_walkable = true,
};

/* The leaf bit has the other sense, and tables know no write bit. */
const struct stage2_format fake_format_hidden = {
	.address_mask = ADDRESS,
	.page_bits = PRESENT | WRITE | TABLE,
	.block_bits = PRESENT | WRITE,
	.table_bits = PRESENT | TABLE,
	.table_shared_bits = TABLE | SHARED,
	.write_bit = WRITE,
	.present_bit = PRESENT,
	.leaf_bit = TABLE,
	.leaf_value = 0,
	.shared_bit = SHARED,
	.shared_walkable = false,
	.mapped_bits = PRESENT | WRITE | TABLE,
};

/* Without a hook of its own a test that panics would hang. */
static void die(const char *text)
{
	fputs(text, stderr);
	abort();
}

__attribute__((constructor)) static void hook_panic(void)
{
	if (!log_panic_hook)
		log_panic_hook = die;
}

enum hv_error arch_check(void)
{
	return HV_OK;
}

enum hv_error arch_cpu_on(struct cpu *cpu)
{
	(void)cpu;
	return HV_OK;
}

void arch_cpu_off(struct cpu *cpu)
{
	(void)cpu;
}

/* ---- processors ---- */

bool arch_on_boot_cpu(void)
{
	return true;
}

u32 arch_cpus_find(void)
{
	return 1;
}

enum hv_error arch_cpu_start(struct cpu *cpu)
{
	(void)cpu;
	return HV_EUNSUPPORTED;
}

void arch_cpu_stop(struct cpu *cpu)
{
	(void)cpu;
}

void arch_cpu_kick(struct cpu *cpu)
{
	__atomic_store_n(&cpu->kicked, 1, __ATOMIC_SEQ_CST);
	if (fake_machine.kick)
		fake_machine.kick(cpu);
}

void arch_cpu_sleep(struct cpu *cpu, u64 until)
{
	if (fake_machine.sleep)
		fake_machine.sleep(cpu, until);
}

void arch_cpu_timer(struct cpu *cpu, u64 at)
{
	cpu->arch.timer = at;
}

bool arch_host_irq(struct vcpu *vcpu)
{
	return fake_machine.host_irq ? fake_machine.host_irq(vcpu) : false;
}

const char *arch_name(void)
{
	return "fake";
}

const char *arch_backend_name(void)
{
	return "script";
}

u64 arch_counter(void)
{
	return fake_machine.now ? fake_machine.now() : fake_machine.counter;
}

u64 arch_counter_hz(void)
{
	return fake_machine.counter_hz;
}

const struct stage2_format *arch_stage2_format(void)
{
	return &fake_format_walkable;
}

u64 arch_device_page(void)
{
	return PAGE_SIZE;
}

enum hv_error arch_vm_init(struct vm *vm)
{
	enum hv_error err = mem_add(&vm->mem, GPA(0), vm->config.memory, MEM_RAM);

	if (err)
		return err;
	return fake_machine.vm_init ? fake_machine.vm_init(vm) : HV_OK;
}

void arch_vm_fini(struct vm *vm)
{
	if (fake_machine.vm_fini)
		fake_machine.vm_fini(vm);
}

enum hv_error arch_vm_reset(struct vm *vm)
{
	vm->arch.resets++;
	for (u32 i = 0; i < vm->vcpu_count; i++)
		vm->vcpus[i].next_state = VCPU_RUNNABLE; /* it is frozen */
	return fake_machine.vm_reset ? fake_machine.vm_reset(vm) : HV_OK;
}

enum hv_error arch_vcpu_init(struct vcpu *vcpu)
{
	vcpu->arch = (struct vcpu_arch){0};
	return HV_OK;
}

void arch_vcpu_fini(struct vcpu *vcpu)
{
	(void)vcpu;
}

void arch_vcpu_load(struct vcpu *vcpu)
{
	HV_ASSERT(!vcpu->arch.loaded);
	vcpu->arch.loaded = true;
	if (fake_machine.in_firmware)
		*fake_machine.in_firmware = false;
}

void arch_vcpu_put(struct vcpu *vcpu)
{
	HV_ASSERT(vcpu->arch.loaded);
	vcpu->arch.loaded = false;
	if (fake_machine.in_firmware)
		*fake_machine.in_firmware = true;
}

void arch_vcpu_run(struct vcpu *vcpu, struct hv_exit *exit)
{
	struct vcpu_arch *arch = &vcpu->arch;

	HV_ASSERT(arch->loaded);
	if (fake_machine.run)
		fake_machine.run(vcpu, exit);
	else if (arch->played < arch->script_length)
		*exit = arch->script[arch->played++];
	else
		*exit = (struct hv_exit){.reason = EXIT_HOST_IRQ};
	exit->access.vcpu = vcpu->index;
}

bool arch_vcpu_prepare_irq(struct vcpu *vcpu)
{
	vcpu->arch.prepares++;
	if (fake_machine.prepare_irq)
		fake_machine.prepare_irq(vcpu);
	return vcpu->arch.irq_again;
}

bool arch_vcpu_has_irq(const struct vcpu *vcpu)
{
	return fake_machine.has_irq ? fake_machine.has_irq(vcpu) : vcpu->arch.has_irq;
}

void arch_vcpu_flush(struct vcpu *vcpu)
{
	vcpu->arch.flushes++;
}

enum hv_verdict arch_vcpu_handle(struct vcpu *vcpu, struct hv_exit *exit)
{
	(void)vcpu;
	(void)exit;
	return VERDICT_SKIP;
}

/* The script has the access in it already. */
enum hv_verdict arch_vcpu_decode(struct vcpu *vcpu, struct hv_exit *exit)
{
	(void)vcpu;
	exit->address = exit->gpa.v;
	return VERDICT_RESUME;
}

void arch_vcpu_complete(struct vcpu *vcpu, const struct hv_exit *exit)
{
	vcpu->arch.completes++;
	vcpu->arch.completed_value = exit->access.value;
}

void arch_vcpu_skip(struct vcpu *vcpu)
{
	vcpu->arch.skips++;
}

void arch_vcpu_fault(struct vcpu *vcpu, const struct hv_exit *exit)
{
	(void)exit;
	vcpu->arch.faults++;
}

size_t arch_vcpu_describe(struct vcpu *vcpu, char *buf, size_t length)
{
	int n = snprintf(buf, length, "played %u of %u\n", vcpu->arch.played,
			 vcpu->arch.script_length);

	if (n < 0)
		return 0;
	return (size_t)min_u64((u64)n, length ? length - 1 : 0);
}
