/* SPDX-License-Identifier: MIT */
#include <arch/vectors.h>
#include <arch/x86.h>
#include <hv/log.h>
#include <internal/arch.h>
#include <internal/host.h>
#include <internal/sched.h>

#define VECTORS 32

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

struct vectors_pointer vectors_own, vectors_firmware;
const struct vcpu *vectors_vcpu;

extern const u8 vectors_entries[];
void vectors_exception(const struct exception_frame *frame);

void vectors_init(void)
{
	static struct gate gates[VECTORS] __attribute__((aligned(16)));
	u16 selector;

	__asm__ volatile("mov %%cs, %0" : "=r"(selector));
	for (u32 i = 0; i < VECTORS; i++) {
		u64 entry = (u64)(uintptr_t)vectors_entries + (u64)16 * i;

		gates[i] = (struct gate){
			.offset_low = (u16)entry,
			.selector = selector,
			.attributes = GATE_INTERRUPT,
			.offset_middle = (u16)(entry >> 16),
			.offset_high = (u32)(entry >> 32),
		};
	}
	vectors_own =
		(struct vectors_pointer){.limit = sizeof(gates) - 1, .base = (u64)(uintptr_t)gates};
}

static const char *vector_text(u64 vector)
{
	/* Section 8.2. */
	static const char *const texts[VECTORS] = {
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

	return vector < VECTORS && texts[vector] ? texts[vector] : "unknown exception";
}

void vectors_exception(const struct exception_frame *frame)
{
	char exit[80];
	u64 cr2;

	__asm__ volatile("mov %%cr2, %0" : "=r"(cr2));
	exit_describe(vectors_vcpu->exit, exit, sizeof(exit));
	panic("%s (vector %llu) in anew itself: error code %llxh, at %llxh (%llxh in anew.elf), "
	      "CR2 %llxh, RSP %llxh; last exit of %s: %s",
	      vector_text(frame->vector), (unsigned long long)frame->vector,
	      (unsigned long long)frame->error, (unsigned long long)frame->rip,
	      (unsigned long long)(frame->rip - host_image_base()), (unsigned long long)cr2,
	      (unsigned long long)frame->rsp, vectors_vcpu->vm->config.name, exit);
}
