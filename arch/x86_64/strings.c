/* SPDX-License-Identifier: MIT */
#include <arch/strings.h>

#define ATTRIBUTE_TYPE_DATA_DOWN 0x4u /* of data: the limit is the lowest offset */
#define ATTRIBUTE_TYPE_WRITE     0x2u /* of data: writable; of code: readable */
#define ATTRIBUTE_TYPE_CODE      0x8u
#define ATTRIBUTE_PRESENT        0x80u
#define ATTRIBUTE_BIG            0x400u

/* Where an operand is; in two parts where it goes over the end of a page. */
struct operand {
	u32 count;
	struct {
		gpa_t gpa;
		u32 bytes;
		bool is_device;
	} part[2];
};

static enum strings_result fault_at(struct strings_fault *fault, u8 vector, u32 error, u64 address)
{
	*fault = (struct strings_fault){.vector = vector, .error = error, .address = address};
	return STRINGS_FAULT;
}

static bool is_long(const struct x86_mode *mode)
{
	return (mode->efer & EFER_LMA) && mode->cs_long;
}

/* Bits 63 to 47 are the same. APM vol. 2 section 1.1.3. */
static bool is_canonical(u64 address)
{
	return (u64)((s64)(address << 16) >> 16) == address;
}

/* APM vol. 2 sections 4.7 and 4.12: whether the segment grants the access. */
static bool segment_grants(const struct x86_mode *mode, const struct x86_segment *segment,
			   u64 offset, u32 size, bool write)
{
	u32 attributes = segment->attributes;
	bool is_code = attributes & ATTRIBUTE_TYPE_CODE;
	u64 last = offset + size - 1;

	/* In real and virtual-8086 mode there are limits only. */
	if ((mode->cr0 & CR0_PE) && !(mode->rflags & RFLAGS_VM)) {
		if (!(attributes & ATTRIBUTE_PRESENT))
			return false;
		if (write && is_code)
			return false;
		if ((write || is_code) && !(attributes & ATTRIBUTE_TYPE_WRITE))
			return false;
		if (!is_code && (attributes & ATTRIBUTE_TYPE_DATA_DOWN))
			return offset > segment->limit &&
			       last <= (attributes & ATTRIBUTE_BIG ? UINT32_MAX : UINT16_MAX);
	}
	return last <= segment->limit;
}

static enum strings_result find_linear(const struct strings_cpu *cpu, u32 index, u64 offset,
				       u32 size, bool write, u64 *linear,
				       struct strings_fault *fault)
{
	const struct x86_segment *segment = &cpu->segments[index];
	bool good;

	if (is_long(cpu->mode)) {
		*linear = offset + (index >= DECODE_FS ? segment->base : 0);
		good = is_canonical(*linear) && is_canonical(*linear + size - 1);
	} else {
		*linear = (u32)(offset + segment->base);
		good = segment_grants(cpu->mode, segment, offset, size, write);
	}
	if (good)
		return STRINGS_DONE;
	return fault_at(fault, index == DECODE_SS ? VECTOR_SS : VECTOR_GP, 0, 0);
}

static enum strings_result find_operand(const struct strings_cpu *cpu, u32 segment, u64 offset,
					u32 size, bool write, struct operand *operand,
					struct strings_fault *fault)
{
	enum mmu_access access = write ? MMU_WRITE : MMU_READ;
	u64 linear;

	if (find_linear(cpu, segment, offset, size, write, &linear, fault))
		return STRINGS_FAULT;
	operand->count = 0;
	while (size) {
		u32 bytes = (u32)min_u64(size, PAGE_SIZE - linear % PAGE_SIZE);
		struct mmu_walk walk;
		enum hv_error err = mmu_translate(cpu->mem, cpu->mode, linear, access, &walk);
		bool is_device;

		if (err == HV_ENO_MEMORY)
			return STRINGS_NO_MEMORY;
		if (err)
			return fault_at(fault, VECTOR_PF, walk.error, linear);
		is_device = !mem_covers(cpu->mem, walk.gpa);
		/* What is there is there until the end: then nothing of memory can fail. */
		if (!is_device && !mem_page(cpu->mem, walk.gpa, write))
			return STRINGS_NO_MEMORY;
		operand->part[operand->count].gpa = walk.gpa;
		operand->part[operand->count].bytes = bytes;
		operand->part[operand->count++].is_device = is_device;
		linear += bytes;
		if (!is_long(cpu->mode))
			linear = (u32)linear;
		size -= bytes;
	}
	return STRINGS_DONE;
}

/* Piece by piece where the size is none that an access can have. */
static bool access_device(const struct strings_cpu *cpu, gpa_t gpa, u32 bytes, bool write, u8 *data)
{
	u32 size = bytes & (bytes - 1) ? 1 : bytes;

	for (u32 at = 0; at < bytes; at += size) {
		struct io_access access = {.size = (u8)size, .is_write = write};

		if (write)
			__builtin_memcpy(&access.value, data + at, size);
		if (cpu->access(cpu->ctx, IO_MMIO, gpa.v + at, &access) != IO_DONE)
			return false;
		if (!write)
			__builtin_memcpy(data + at, &access.value, size);
	}
	return true;
}

static bool access_operand(const struct strings_cpu *cpu, const struct operand *operand, bool write,
			   u64 *value)
{
	u8 *data = (u8 *)value;

	for (u32 i = 0; i < operand->count; i++) {
		gpa_t gpa = operand->part[i].gpa;
		u32 bytes = operand->part[i].bytes;
		enum hv_error err = HV_OK;

		if (operand->part[i].is_device) {
			if (!access_device(cpu, gpa, bytes, write, data))
				return false;
		} else if (write) {
			err = mem_write(cpu->mem, gpa, data, bytes);
		} else {
			err = mem_read(cpu->mem, gpa, data, bytes);
		}
		if (err)
			return false;
		data += bytes;
	}
	return true;
}

static enum strings_result find_source(const struct strings_cpu *cpu,
				       const struct decode_insn *insn, struct operand *operand,
				       struct strings_fault *fault)
{
	u32 segment = insn->segment == DECODE_SEGMENT_DEFAULT ? DECODE_DS : insn->segment;

	return find_operand(cpu, segment, x86_decode_string_source(insn, cpu->gpr), insn->size,
			    false, operand, fault);
}

static enum strings_result find_dest(const struct strings_cpu *cpu, const struct decode_insn *insn,
				     struct operand *operand, struct strings_fault *fault)
{
	return find_operand(cpu, DECODE_ES, x86_decode_string_dest(insn, cpu->gpr), insn->size,
			    true, operand, fault);
}

static enum strings_result step(const struct strings_cpu *cpu, const struct decode_insn *insn)
{
	return x86_decode_string_step(insn, cpu->gpr, cpu->mode->rflags) ? STRINGS_DONE
									 : STRINGS_MORE;
}

enum strings_result strings_move(const struct strings_cpu *cpu, const struct decode_insn *insn,
				 struct strings_fault *fault)
{
	struct operand source, dest;
	enum strings_result result;
	u64 value = 0;

	if (!x86_decode_string_more(insn, cpu->gpr))
		return STRINGS_DONE;
	result = find_source(cpu, insn, &source, fault);
	if (!result)
		result = find_dest(cpu, insn, &dest, fault);
	if (result)
		return result;
	if (!access_operand(cpu, &source, false, &value) ||
	    !access_operand(cpu, &dest, true, &value))
		return STRINGS_REFUSED;
	return step(cpu, insn);
}

enum strings_result strings_port(const struct strings_cpu *cpu, const struct decode_insn *insn,
				 u16 port, struct strings_fault *fault)
{
	bool write = insn->op == DECODE_OUTS;
	struct io_access access = {.size = insn->size, .is_write = write};
	struct operand operand;
	enum strings_result result;

	if (!x86_decode_string_more(insn, cpu->gpr))
		return STRINGS_DONE;
	result = write ? find_source(cpu, insn, &operand, fault)
		       : find_dest(cpu, insn, &operand, fault);
	if (result)
		return result;
	if (write && !access_operand(cpu, &operand, false, &access.value))
		return STRINGS_REFUSED;
	if (cpu->access(cpu->ctx, IO_PIO, port, &access) != IO_DONE)
		return STRINGS_REFUSED;
	if (!write && !access_operand(cpu, &operand, true, &access.value))
		return STRINGS_REFUSED;
	return step(cpu, insn);
}
