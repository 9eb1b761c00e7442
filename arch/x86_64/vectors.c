/* SPDX-License-Identifier: MIT */
#include <arch/lapic.h>
#include <arch/processor.h>
#include <arch/vectors.h>
#include <arch/x86.h>
#include <hv/log.h>
#include <internal/arch.h>
#include <internal/host.h>
#include <internal/sched.h>

#define EXCEPTIONS 32
#define VECTORS    256

#define GATE_INTERRUPT 0x8e00u /* present, of 64 bits, interrupts off: section 4.8.3 */

struct gate {
	u16 offset_low;
	u16 selector;
	u16 attributes;
	u16 offset_middle;
	u32 offset_high;
	u32 reserved;
};
static_assert(sizeof(struct gate) == 16, "APM vol. 2 section 4.8.4");

struct exception_frame {
	u64 vector, error, rip, cs, rflags, rsp, ss;
};

struct vectors_pointer vectors_own;
static struct gate gates[VECTORS] __attribute__((aligned(16)));

extern const u8 vectors_entries[], vectors_interrupt_entry[], vectors_spurious_entry[];
void vectors_exception(const struct exception_frame *frame);

static u16 code_selector(void)
{
	u16 selector;

	__asm__ volatile("mov %%cs, %0" : "=r"(selector));
	return selector;
}

bool vectors_fit(void)
{
	return gates[0].selector == code_selector();
}

static void set_gate(u32 vector, const u8 *code)
{
	u64 entry = (u64)(uintptr_t)code;

	gates[vector] = (struct gate){
		.offset_low = (u16)entry,
		.selector = code_selector(),
		.attributes = GATE_INTERRUPT,
		.offset_middle = (u16)(entry >> 16),
		.offset_high = (u32)(entry >> 32),
	};
}

void vectors_init(void)
{
	for (u32 i = 0; i < EXCEPTIONS; i++)
		set_gate(i, vectors_entries + (size_t)16 * i);
	for (u32 i = EXCEPTIONS; i < VECTORS; i++)
		set_gate(i, vectors_interrupt_entry);
	set_gate(LAPIC_SPURIOUS_VECTOR, vectors_spurious_entry);
	vectors_own =
		(struct vectors_pointer){.limit = sizeof(gates) - 1, .base = (u64)(uintptr_t)gates};
}

static const char *vector_text(u64 vector)
{
	/* Section 8.2. */
	static const char *const texts[EXCEPTIONS] = {
		[0] = "division error",
		[1] = "debug exception",
		[2] = "NMI",
		[3] = "breakpoint",
		[4] = "overflow",
		[5] = "bound range",
		[6] = "invalid opcode",
		[7] = "device not available",
		[8] = "double fault",
		[10] = "invalid TSS",
		[11] = "segment not present",
		[12] = "stack fault",
		[13] = "general protection",
		[14] = "page fault",
		[16] = "floating point",
		[17] = "alignment check",
		[18] = "machine check",
		[19] = "SIMD floating point",
		[21] = "control protection",
		[28] = "hypervisor injection",
		[29] = "VMM communication",
		[30] = "security exception",
	};

	return vector < EXCEPTIONS && texts[vector] ? texts[vector] : "unknown exception";
}

void vectors_exception(const struct exception_frame *frame)
{
	const struct cpu *cpu = cpu_current();
	const struct vcpu *vcpu = cpu->arch.vcpu;
	char exit[80] = "none";
	u64 cr2;

	__asm__ volatile("mov %%cr2, %0" : "=r"(cr2));
	if (vcpu)
		exit_describe(&vcpu->last_exit, exit, sizeof(exit));
	panic("%s (vector %llu) in anew itself: error code %llxh, at %llxh (%llxh in anew.elf), "
	      "CR2 %llxh, RSP %llxh; processor %u, last exit of %s: %s",
	      vector_text(frame->vector), (unsigned long long)frame->vector,
	      (unsigned long long)frame->error, (unsigned long long)frame->rip,
	      (unsigned long long)(frame->rip - host_image_base()), (unsigned long long)cr2,
	      (unsigned long long)frame->rsp, cpu->index, vcpu ? vcpu->vm->config.name : "nobody",
	      exit);
}
