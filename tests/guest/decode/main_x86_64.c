/* SPDX-License-Identifier: MIT */
/*
 * Every form of instruction that anew decodes for a device, in 64-bit mode. Each is executed twice,
 * with memory and with the test device in the place of memory: registers and flags must come out
 * the same, and the device must have seen the size, offset, value and number of accesses that the
 * processor made of it in memory.
 */
#include "payload.h"

#include <devices/testdev.h>

#define DEVICE_BASE 0xfe900000
#define DEVICE_TEXT "0xfe900000"
#define MSR_GS_BASE 0xc0000101u
#define GS_OFFSET   0x40

#define FLAG_CF 0x001u
#define FLAG_PF 0x004u
#define FLAG_AF 0x010u
#define FLAG_ZF 0x040u
#define FLAG_SF 0x080u
#define FLAG_DF 0x400u
#define FLAG_OF 0x800u
#define FLAGS   (FLAG_CF | FLAG_PF | FLAG_AF | FLAG_ZF | FLAG_SF | FLAG_OF)
#define LOGIC   (FLAGS & ~FLAG_AF) /* what logical operations define */
#define BITS    FLAG_CF            /* what bit tests define */

#define RAX 0
#define RCX 1
#define RSI 6
#define RDI 7
#define R12 12
#define R13 13

#define INDEX 8 /* in r12; rdi, rsi and r13 point to the memory */

/* Named by instructions with an absolute address. */
uint8_t ram[4096] __attribute__((aligned(4096)));

struct registers {
	uint64_t gpr[16]; /* in the order of their encoding; rsp is not used */
	uint64_t flags;
};

/* Calls @code with @registers in place, and puts back into them what it left. */
void run_form(void (*code)(void), struct registers *registers);
__asm__(".pushsection .text\n"
	"run_form:\n"
	"	push %rbx\n"
	"	push %rbp\n"
	"	push %r12\n"
	"	push %r13\n"
	"	push %r14\n"
	"	push %r15\n"
	"	push %rsi\n"
	"	mov %rdi, run_form_code(%rip)\n"
	"	pushq 128(%rsi)\n"
	"	popfq\n"
	"	mov 0(%rsi), %rax\n"
	"	mov 8(%rsi), %rcx\n"
	"	mov 16(%rsi), %rdx\n"
	"	mov 24(%rsi), %rbx\n"
	"	mov 40(%rsi), %rbp\n"
	"	mov 56(%rsi), %rdi\n"
	"	mov 64(%rsi), %r8\n"
	"	mov 72(%rsi), %r9\n"
	"	mov 80(%rsi), %r10\n"
	"	mov 88(%rsi), %r11\n"
	"	mov 96(%rsi), %r12\n"
	"	mov 104(%rsi), %r13\n"
	"	mov 112(%rsi), %r14\n"
	"	mov 120(%rsi), %r15\n"
	"	mov 48(%rsi), %rsi\n"
	"	call *run_form_code(%rip)\n"
	"	pushfq\n"
	"	push %rsi\n"
	"	mov 16(%rsp), %rsi\n"
	"	mov %rax, 0(%rsi)\n"
	"	mov %rcx, 8(%rsi)\n"
	"	mov %rdx, 16(%rsi)\n"
	"	mov %rbx, 24(%rsi)\n"
	"	mov %rbp, 40(%rsi)\n"
	"	mov %rdi, 56(%rsi)\n"
	"	mov %r8, 64(%rsi)\n"
	"	mov %r9, 72(%rsi)\n"
	"	mov %r10, 80(%rsi)\n"
	"	mov %r11, 88(%rsi)\n"
	"	mov %r12, 96(%rsi)\n"
	"	mov %r13, 104(%rsi)\n"
	"	mov %r14, 112(%rsi)\n"
	"	mov %r15, 120(%rsi)\n"
	"	popq 48(%rsi)\n"
	"	popq 128(%rsi)\n"
	"	cld\n"
	"	pop %rsi\n"
	"	pop %r15\n"
	"	pop %r14\n"
	"	pop %r13\n"
	"	pop %r12\n"
	"	pop %rbp\n"
	"	pop %rbx\n"
	"	ret\n"
	".popsection\n"
	".pushsection .bss\n"
	".balign 8\n"
	"run_form_code: .skip 8\n"
	".popsection\n");

enum access {
	READ,
	WRITE,
	MODIFY, /* a read, then a write */
};

/* ---- the forms: X(name, text, size of the access, access, offset, flags that are defined) ---- */

/* One arithmetic instruction that stores its result. */
#define ALU_FORMS(X, op, flags)                                                                    \
	X(op##_mr8, #op "b %cl, (%rdi)", 1, MODIFY, 0, flags)                                      \
	X(op##_mr8_high, #op "b %ch, (%rdi)", 1, MODIFY, 0, flags)                                 \
	X(op##_mr16, #op "w %cx, (%rdi)", 2, MODIFY, 0, flags)                                     \
	X(op##_mr32, #op "l %ecx, (%rdi)", 4, MODIFY, 0, flags)                                    \
	X(op##_mr64, #op "q %rcx, (%rdi)", 8, MODIFY, 0, flags)                                    \
	X(op##_mr64_lock, "lock " #op "q %r9, 8(%rdi)", 8, MODIFY, 8, flags)                       \
	X(op##_rm8, #op "b (%rdi), %cl", 1, READ, 0, flags)                                        \
	X(op##_rm8_high, #op "b (%rdi), %bh", 1, READ, 0, flags)                                   \
	X(op##_rm16, #op "w (%rdi), %cx", 2, READ, 0, flags)                                       \
	X(op##_rm32, #op "l (%rdi), %ecx", 4, READ, 0, flags)                                      \
	X(op##_rm64, #op "q (%rdi), %r15", 8, READ, 0, flags)                                      \
	X(op##_mi8, #op "b $0x81, (%rdi)", 1, MODIFY, 0, flags)                                    \
	X(op##_mi16, #op "w $0x8765, (%rdi)", 2, MODIFY, 0, flags)                                 \
	X(op##_mi32, #op "l $0x87654321, (%rdi)", 4, MODIFY, 0, flags)                             \
	X(op##_mi64, #op "q $-0x12345678, (%rdi)", 8, MODIFY, 0, flags)                            \
	X(op##_mi16_short, #op "w $-3, (%rdi)", 2, MODIFY, 0, flags)                               \
	X(op##_mi32_short, "lock " #op "l $-3, 0x100(%rdi)", 4, MODIFY, 0x100, flags)              \
	X(op##_mi64_short, #op "q $-3, (%rdi)", 8, MODIFY, 0, flags)

/* One that changes memory without another operand. */
#define UNARY_FORMS(X, op)                                                                         \
	X(op##_8, #op "b (%rdi)", 1, MODIFY, 0, FLAGS)                                             \
	X(op##_16, #op "w (%rdi)", 2, MODIFY, 0, FLAGS)                                            \
	X(op##_32, "lock " #op "l (%rdi)", 4, MODIFY, 0, FLAGS)                                    \
	X(op##_64, #op "q (%rdi)", 8, MODIFY, 0, FLAGS)

#define BIT_FORMS(X, op, access, lock)                                                             \
	X(op##_16, #op "w $17, (%rdi)", 2, access, 0, BITS)                                        \
	X(op##_32, lock #op "l $31, (%rdi)", 4, access, 0, BITS)                                   \
	X(op##_64, #op "q $63, (%rdi)", 8, access, 0, BITS)

#define FORMS(X)                                                                                   \
	X(mov_mr8, "movb %cl, (%rdi)", 1, WRITE, 0, FLAGS)                                         \
	X(mov_mr8_high, "movb %dh, (%rdi)", 1, WRITE, 0, FLAGS)                                    \
	X(mov_mr8_rex, "movb %bpl, (%rdi)", 1, WRITE, 0, FLAGS)                                    \
	X(mov_mr8_r9, "movb %r9b, (%rdi)", 1, WRITE, 0, FLAGS)                                     \
	X(mov_mr16, "movw %cx, 2(%rdi)", 2, WRITE, 2, FLAGS)                                       \
	X(mov_mr32, "movl %ecx, (%rdi)", 4, WRITE, 0, FLAGS)                                       \
	X(mov_mr32_r15, "movl %r15d, 0x7c(%rdi)", 4, WRITE, 0x7c, FLAGS)                           \
	X(mov_mr64, "movq %rcx, 0x200(%rdi)", 8, WRITE, 0x200, FLAGS)                              \
	X(mov_rm8, "movb (%rdi), %cl", 1, READ, 0, FLAGS)                                          \
	X(mov_rm8_high, "movb (%rdi), %ah", 1, READ, 0, FLAGS)                                     \
	X(mov_rm8_rex, "movb (%rdi), %bpl", 1, READ, 0, FLAGS)                                     \
	X(mov_rm16, "movw (%rdi), %cx", 2, READ, 0, FLAGS)                                         \
	X(mov_rm32, "movl (%rdi), %ecx", 4, READ, 0, FLAGS)                                        \
	X(mov_rm32_r8, "movl (%rdi), %r8d", 4, READ, 0, FLAGS)                                     \
	X(mov_rm64, "movq (%rdi), %r15", 8, READ, 0, FLAGS)                                        \
	X(mov_mi8, "movb $0x81, (%rdi)", 1, WRITE, 0, FLAGS)                                       \
	X(mov_mi16, "movw $0x8765, (%rdi)", 2, WRITE, 0, FLAGS)                                    \
	X(mov_mi32, "movl $0x87654321, (%rdi)", 4, WRITE, 0, FLAGS)                                \
	X(mov_mi32_disp8, "movl $0x12345678, 0x10(%rdi)", 4, WRITE, 0x10, FLAGS)                   \
	X(mov_mi32_disp32, "movl $0x12345678, 0x700(%rdi)", 4, WRITE, 0x700, FLAGS)                \
	X(mov_mi64, "movq $-0x12345678, (%rdi)", 8, WRITE, 0, FLAGS)                               \
	/* addressing */                                                                           \
	X(base_r13, "movl (%r13), %ecx", 4, READ, 0, FLAGS)                                        \
	X(sib, "movl (%rdi,%r12,4), %ecx", 4, READ, 4 * INDEX, FLAGS)                              \
	X(sib_disp8, "movl %ecx, 0x10(%r13,%r12,2)", 4, WRITE, 0x10 + 2 * INDEX, FLAGS)            \
	X(sib_disp32, "movl $5, 0x100(%rdi,%r12,8)", 4, WRITE, 0x100 + 8 * INDEX, FLAGS)           \
	X(address32, "addr32 movl (%edi), %ecx", 4, READ, 0, FLAGS)                                \
	X(segment, "movl %gs:(%rdi), %ecx", 4, READ, GS_OFFSET, FLAGS)                             \
	X(unaligned, "movl %ecx, 3(%rdi)", 4, WRITE, 3, FLAGS)                                     \
	X(prefixes, ".byte 0x66, 0x66, 0x2e, 0xf3\n movw %cx, (%rdi)", 2, WRITE, 0, FLAGS)         \
	/* extension */                                                                            \
	X(movzx_8_16, "movzbw (%rdi), %cx", 1, READ, 0, FLAGS)                                     \
	X(movzx_8_32, "movzbl (%rdi), %ecx", 1, READ, 0, FLAGS)                                    \
	X(movzx_8_64, "movzbq (%rdi), %r9", 1, READ, 0, FLAGS)                                     \
	X(movzx_16_32, "movzwl (%rdi), %ecx", 2, READ, 0, FLAGS)                                   \
	X(movzx_16_64, "movzwq (%rdi), %rcx", 2, READ, 0, FLAGS)                                   \
	X(movsx_8_16, "movsbw (%rdi), %cx", 1, READ, 0, FLAGS)                                     \
	X(movsx_8_32, "movsbl (%rdi), %ecx", 1, READ, 0, FLAGS)                                    \
	X(movsx_8_64, "movsbq (%rdi), %rcx", 1, READ, 0, FLAGS)                                    \
	X(movsx_16_32, "movswl (%rdi), %ecx", 2, READ, 0, FLAGS)                                   \
	X(movsx_16_64, "movswq (%rdi), %rcx", 2, READ, 0, FLAGS)                                   \
	X(movsxd, "movslq (%rdi), %rcx", 4, READ, 0, FLAGS)                                        \
	/* arithmetic */                                                                           \
	ALU_FORMS(X, add, FLAGS)                                                                   \
	ALU_FORMS(X, or, LOGIC)                                                                    \
	ALU_FORMS(X, adc, FLAGS)                                                                   \
	ALU_FORMS(X, sbb, FLAGS)                                                                   \
	ALU_FORMS(X, and, LOGIC)                                                                   \
	ALU_FORMS(X, sub, FLAGS)                                                                   \
	ALU_FORMS(X, xor, LOGIC)                                                                   \
	X(cmp_mr8, "cmpb %ch, (%rdi)", 1, READ, 0, FLAGS)                                          \
	X(cmp_mr32, "cmpl %ecx, (%rdi)", 4, READ, 0, FLAGS)                                        \
	X(cmp_mr64, "cmpq %rcx, (%rdi)", 8, READ, 0, FLAGS)                                        \
	X(cmp_rm8, "cmpb (%rdi), %cl", 1, READ, 0, FLAGS)                                          \
	X(cmp_rm16, "cmpw (%rdi), %cx", 2, READ, 0, FLAGS)                                         \
	X(cmp_rm32, "cmpl (%rdi), %ecx", 4, READ, 0, FLAGS)                                        \
	X(cmp_mi8, "cmpb $0x81, (%rdi)", 1, READ, 0, FLAGS)                                        \
	X(cmp_mi32, "cmpl $0x87654321, (%rdi)", 4, READ, 0, FLAGS)                                 \
	X(cmp_mi64_short, "cmpq $-1, (%rdi)", 8, READ, 0, FLAGS)                                   \
	X(test_mr8, "testb %ch, (%rdi)", 1, READ, 0, LOGIC)                                        \
	X(test_mr32, "testl %ecx, (%rdi)", 4, READ, 0, LOGIC)                                      \
	X(test_mi8, "testb $0x80, (%rdi)", 1, READ, 0, LOGIC)                                      \
	X(test_mi16, "testw $0x8000, (%rdi)", 2, READ, 0, LOGIC)                                   \
	X(test_mi32, "testl $0x80000000, (%rdi)", 4, READ, 0, LOGIC)                               \
	X(test_mi64, "testq $-0x80000000, (%rdi)", 8, READ, 0, LOGIC)                              \
	UNARY_FORMS(X, not )                                                                       \
	UNARY_FORMS(X, neg)                                                                        \
	UNARY_FORMS(X, inc)                                                                        \
	UNARY_FORMS(X, dec)                                                                        \
	/* bits */                                                                                 \
	BIT_FORMS(X, bt, READ, "")                                                                 \
	BIT_FORMS(X, bts, MODIFY, "lock ")                                                         \
	BIT_FORMS(X, btr, MODIFY, "lock ")                                                         \
	BIT_FORMS(X, btc, MODIFY, "lock ")                                                         \
	/* exchange */                                                                             \
	X(xchg_8, "xchgb %cl, (%rdi)", 1, MODIFY, 0, FLAGS)                                        \
	X(xchg_8_high, "xchgb %ch, (%rdi)", 1, MODIFY, 0, FLAGS)                                   \
	X(xchg_16, "xchgw %cx, (%rdi)", 2, MODIFY, 0, FLAGS)                                       \
	X(xchg_32, "xchgl %ecx, (%rdi)", 4, MODIFY, 0, FLAGS)                                      \
	X(xchg_64, "lock xchgq %r8, (%rdi)", 8, MODIFY, 0, FLAGS)                                  \
	X(cmpxchg_8, "cmpxchgb %ch, (%rdi)", 1, MODIFY, 0, FLAGS)                                  \
	X(cmpxchg_16, "cmpxchgw %cx, (%rdi)", 2, MODIFY, 0, FLAGS)                                 \
	X(cmpxchg_32, "lock cmpxchgl %ecx, (%rdi)", 4, MODIFY, 0, FLAGS)                           \
	X(cmpxchg_64, "lock cmpxchgq %rcx, (%rdi)", 8, MODIFY, 0, FLAGS)                           \
	/* stores that go past the cache */                                                        \
	X(movnti_32, "movntil %ecx, (%rdi)", 4, WRITE, 0, FLAGS)                                   \
	X(movnti_64, "movntiq %rcx, (%rdi)", 8, WRITE, 0, FLAGS)                                   \
	/* strings, one step */                                                                    \
	X(stos_8, "stosb", 1, WRITE, 0, FLAGS)                                                     \
	X(stos_16, "stosw", 2, WRITE, 0, FLAGS)                                                    \
	X(stos_32, "stosl", 4, WRITE, 0, FLAGS)                                                    \
	X(stos_64, "stosq", 8, WRITE, 0, FLAGS)                                                    \
	X(stos_address32, "addr32 stosl", 4, WRITE, 0, FLAGS)                                      \
	X(lods_8, "lodsb", 1, READ, 0, FLAGS)                                                      \
	X(lods_16, "lodsw", 2, READ, 0, FLAGS)                                                     \
	X(lods_32, "lodsl", 4, READ, 0, FLAGS)                                                     \
	X(lods_64, "lodsq", 8, READ, 0, FLAGS)                                                     \
	X(lods_segment, "lodsl %gs:(%rsi), %eax", 4, READ, GS_OFFSET, FLAGS)

/* With an absolute address: Y(name, text before the address, after it, size, access). */
#define ABSOLUTE_FORMS(Y)                                                                          \
	Y(moffs_r8, "movabsb ", ", %al", 1, READ)                                                  \
	Y(moffs_r16, "movabsw ", ", %ax", 2, READ)                                                 \
	Y(moffs_r32, "movabsl ", ", %eax", 4, READ)                                                \
	Y(moffs_r64, "movabsq ", ", %rax", 8, READ)                                                \
	Y(moffs_w8, "movabsb %al, ", "", 1, WRITE)                                                 \
	Y(moffs_w16, "movabsw %ax, ", "", 2, WRITE)                                                \
	Y(moffs_w32, "movabsl %eax, ", "", 4, WRITE)                                               \
	Y(moffs_w64, "movabsq %rax, ", "", 8, WRITE)                                               \
	Y(moffs_address32, ".byte 0x67, 0xa1\n .long ", "", 4, READ)                               \
	Y(sib_no_base, ".byte 0x67, 0x8b, 0x0c, 0x25\n .long ", "", 4, READ)

/* Repeated: Z(name, text, size, access); 5 steps. */
#define REPEATED_FORMS(Z)                                                                          \
	Z(rep_stos_8, "rep stosb", 1, WRITE)                                                       \
	Z(rep_stos_16, "rep stosw", 2, WRITE)                                                      \
	Z(rep_stos_32, "rep stosl", 4, WRITE)                                                      \
	Z(rep_stos_64, "rep stosq", 8, WRITE)                                                      \
	Z(rep_lods_8, "rep lodsb", 1, READ)                                                        \
	Z(rep_lods_32, "rep lodsl", 4, READ)
#define REPETITIONS 5

#define X_CODE(name, text, size, access, offset, flags)                                            \
	void form_##name(void);                                                                    \
	__asm__(".pushsection .text\nform_" #name ":\n " text "\n ret\n.popsection\n");
#define Y_CODE(name, before, after, size, access)                                                  \
	void form_##name##_ram(void);                                                              \
	void form_##name##_device(void);                                                           \
	__asm__(".pushsection .text\nform_" #name "_ram:\n " before "ram" after "\n ret\n"         \
		"form_" #name "_device:\n " before DEVICE_TEXT after "\n ret\n.popsection\n");
#define Z_CODE(name, text, size, access) X_CODE(name, text, size, access, 0, FLAGS)
FORMS(X_CODE)
ABSOLUTE_FORMS(Y_CODE)
REPEATED_FORMS(Z_CODE)

/* Its bytes lie on two pages. */
void form_two_pages(void);
__asm__(".pushsection .text\n"
	".balign 4096\n"
	".skip 4092\n"
	"form_two_pages:\n"
	"	movl $0x12345678, 0x10(%rdi)\n"
	"	ret\n"
	".popsection\n");

/*
 * The device is too far away for an address relative to RIP, but not for one of 32 bits, which
 * wraps at 4 GiB.
 */
void form_relative_ram(void);
void form_relative_device(void);
__asm__(".pushsection .text\n"
	"form_relative_ram:\n"
	"	addr32 movl %ecx, ram(%eip)\n"
	"	ret\n"
	"form_relative_device:\n"
	"	.byte 0x67, 0x89, 0x0d\n"
	"	.long " DEVICE_TEXT " - 0x100000000 - . - 4\n"
	"	ret\n"
	".popsection\n");

struct form {
	const char *text;
	void (*with_ram)(void);
	void (*with_device)(void);
	enum access access;
	uint32_t size;
	uint32_t offset;
	uint32_t flags;
	uint32_t steps; /* 0: not repeated */
};

static const struct form forms[] = {
#define X_FORM(name, text, size, access, offset, flags)                                            \
	{text, form_##name, form_##name, access, size, offset, flags, 0},
#define Y_FORM(name, before, after, size, access)                                                  \
	{before "ADDRESS" after,                                                                   \
	 form_##name##_ram,                                                                        \
	 form_##name##_device,                                                                     \
	 access,                                                                                   \
	 size,                                                                                     \
	 0,                                                                                        \
	 FLAGS,                                                                                    \
	 0},
#define Z_FORM(name, text, size, access)                                                           \
	{text, form_##name, form_##name, access, size, 0, FLAGS, REPETITIONS},
	FORMS(X_FORM) ABSOLUTE_FORMS(Y_FORM) REPEATED_FORMS(Z_FORM){
		"movl on two pages", form_two_pages, form_two_pages, WRITE, 4, 0x10, FLAGS, 0},
	{"movl, relative", form_relative_ram, form_relative_device, WRITE, 4, 0, FLAGS, 0},
};

/* ---- running them ---- */

struct values {
	uint64_t memory;
	uint64_t rax;
	uint64_t others; /* in all registers that don't point to the memory */
	uint64_t flags;
};

static const struct values values[] = {
	{0x8877665544332211, 0xa1b2c3d4e5f60718, 0x1122334455667788, 0},
	{UINT64_MAX, 0, 1, FLAG_CF},
	{0, 1, UINT64_MAX, FLAGS},
	{0x8000000080008080, 0x8000000080008080, 0x8000000080008080, FLAG_ZF},
	{0x7fffffff7fff7f7f, 0x7fffffff7fff7f7f, 0xfffffffefffefefe, FLAG_CF | FLAG_OF},
	{0x00ff00ff0f0f1001, 0xff00ff000f0f1001, 0x5a5aa5a500ff0f0f, FLAG_SF | FLAG_PF},
};

static uint64_t device_get(uint32_t reg)
{
	return *(volatile uint64_t *)(DEVICE_BASE + (uintptr_t)reg);
}

static void device_set(uint32_t reg, uint64_t value)
{
	*(volatile uint64_t *)(DEVICE_BASE + (uintptr_t)reg) = value;
}

static uint64_t cut(uint64_t value, uint32_t size)
{
	return size < 8 ? value & (((uint64_t)1 << 8 * size) - 1) : value;
}

static uint64_t ram_get(uint32_t offset, uint32_t size)
{
	uint64_t value = 0;

	for (uint32_t i = 0; i < size; i++)
		value |= (uint64_t)ram[offset + i] << 8 * i;
	return value;
}

static void ram_fill(uint32_t offset, uint32_t size, uint64_t value)
{
	for (uint32_t i = 0; i < size; i++)
		ram[offset + i] = (uint8_t)(value >> 8 * i);
}

static void set_registers(struct registers *registers, const struct form *form,
			  const struct values *value, uint64_t base, bool backwards)
{
	for (int i = 0; i < 16; i++)
		registers->gpr[i] = value->others;
	registers->gpr[RAX] = value->rax;
	if (form->steps)
		registers->gpr[RCX] = form->steps;
	registers->gpr[RSI] = base;
	registers->gpr[RDI] = base;
	registers->gpr[R12] = INDEX;
	registers->gpr[R13] = base;
	registers->flags = 2 | value->flags | (backwards ? FLAG_DF : 0);
}

static bool expect(const struct form *form, const char *what, uint64_t got, uint64_t want)
{
	if (got != want)
		print("%s: %s is %llx, not %llx\n", form->text, what, (unsigned long long)got,
		      (unsigned long long)want);
	return got == want;
}

static bool same_registers(const struct form *form, const struct registers *device,
			   const struct registers *memory)
{
	uint32_t flags = form->flags | FLAG_DF;
	bool ok = expect(form, "flags", device->flags & flags, memory->flags & flags);

	for (int i = 0; i < 16; i++) {
		bool pointer = i == RSI || i == RDI || i == R13;
		char name[] = {'g', 'p', 'r', ' ', (char)('0' + i / 10), (char)('0' + i % 10), 0};

		ok &= expect(form, name, device->gpr[i] - (pointer ? DEVICE_BASE : 0),
			     memory->gpr[i] - (pointer ? (uintptr_t)ram : 0));
	}
	return ok;
}

static bool run(const struct form *form, const struct values *value, bool backwards)
{
	uint32_t steps = form->steps ? form->steps : 1;
	/* Room before it for strings that go backwards. */
	uint32_t start = backwards ? 0x400 : 0;
	uint32_t last = start + form->offset;
	struct registers memory, device;
	bool ok;

	for (uint32_t i = 0; i < steps; i++) {
		ram_fill(last, form->size, value->memory);
		if (i + 1 < steps)
			last = backwards ? last - form->size : last + form->size;
	}
	set_registers(&memory, form, value, (uintptr_t)ram + start, backwards);
	run_form(form->with_ram, &memory);

	device_set(TESTDEV_READ_VALUE, value->memory);
	device_set(TESTDEV_COUNT, 0);
	set_registers(&device, form, value, DEVICE_BASE + start, backwards);
	run_form(form->with_device, &device);

	ok = same_registers(form, &device, &memory);
	ok &= expect(form, "number of accesses", device_get(TESTDEV_COUNT),
		     form->access == MODIFY ? 2 * steps : steps);
	ok &= expect(form, "offset", device_get(TESTDEV_OFFSET), last);
	ok &= expect(form, "size", device_get(TESTDEV_SIZE), form->size);
	ok &= expect(form, "is a write", device_get(TESTDEV_IS_WRITE), form->access != READ);
	ok &= expect(form, "value", device_get(TESTDEV_VALUE), ram_get(last, form->size));
	if (form->access == READ)
		ok &= expect(form, "value read", device_get(TESTDEV_VALUE),
			     cut(value->memory, form->size));
	return ok;
}

/* ---- the same place, another instruction: nothing that was decoded may outlive it ---- */

#define CODE_VIEW 0x100000000u

static uint8_t code[2][4096] __attribute__((aligned(4096)));
static uint64_t code_directory[512] __attribute__((aligned(4096)));
static uint64_t code_table[512] __attribute__((aligned(4096)));

static void show_code(int page)
{
	code_table[0] = (uintptr_t)code[page] | 3;
	__asm__ volatile("invlpg (%0)" : : "r"((uint64_t)CODE_VIEW) : "memory");
}

static void map_code(void)
{
	uint64_t root;
	uint64_t *level;

	code_directory[0] = (uintptr_t)code_table | 3;
	__asm__ volatile("mov %%cr3, %0" : "=r"(root));
	level = (uint64_t *)(uintptr_t)(root & ~0xfffull);
	level = (uint64_t *)(uintptr_t)(level[0] & ~0xfffull);
	level[CODE_VIEW >> 30] = (uintptr_t)code_directory | 3;
	show_code(0);
}

/* The code that is in view, twice: the second time it has been decoded before. */
static bool view_is(bool write, uint32_t offset)
{
	bool ok = true;

	for (int i = 0; i < 2; i++) {
		device_set(TESTDEV_COUNT, 0);
		__asm__ volatile("call *%0"
				 :
				 : "r"((uint64_t)CODE_VIEW), "D"((uint64_t)DEVICE_BASE)
				 : "rcx", "memory");
		ok &= device_get(TESTDEV_COUNT) == 1 && device_get(TESTDEV_IS_WRITE) == write &&
		      device_get(TESTDEV_OFFSET) == offset;
	}
	return ok;
}

static void check_changing_code(void)
{
	static const uint8_t read[] = {0x8b, 0x4f, 0x10, 0xc3};  /* mov 0x10(%rdi), %ecx; ret */
	static const uint8_t write[] = {0x89, 0x4f, 0x20, 0xc3}; /* mov %ecx, 0x20(%rdi); ret */
	bool ok;

	for (size_t i = 0; i < sizeof(read); i++) {
		code[0][i] = read[i];
		code[1][i] = write[i];
	}
	map_code();
	ok = view_is(false, 0x10);
	show_code(1);
	ok &= view_is(true, 0x20);
	show_code(0);
	ok &= view_is(false, 0x10);
	report(ok, "another page at the same address");
	for (size_t i = 0; i < sizeof(read); i++)
		code[0][i] = write[i];
	ok = view_is(true, 0x20);
	code[0][2] = 0x40;
	ok &= view_is(true, 0x40);
	report(ok, "other code in the same page");
}

void payload_main(void)
{
	if (mmio_read(DEVICE_BASE + TESTDEV_MAGIC) != (uint32_t)TESTDEV_MAGIC_VALUE) {
		payload_skip("there is no test device");
		return;
	}
	report(device_get(TESTDEV_MAGIC) == TESTDEV_MAGIC_VALUE, "the test device answers");
	wrmsr(MSR_GS_BASE, GS_OFFSET);
	for (size_t i = 0; i < ARRAY_COUNT(forms); i++) {
		bool ok = true;

		for (size_t v = 0; v < ARRAY_COUNT(values); v++) {
			ok &= run(&forms[i], &values[v], false);
			if (forms[i].steps)
				ok &= run(&forms[i], &values[v], true);
		}
		report(ok, "%s", forms[i].text);
	}
	check_changing_code();
}
