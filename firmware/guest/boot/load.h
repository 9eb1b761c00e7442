/* SPDX-License-Identifier: MIT */
/* What the loaders of the different kinds of kernels share, whatever the architecture. */
#ifndef BOOT_LOAD_H
#define BOOT_LOAD_H

#include <guest/boot.h>
#include <guest/range.h>
#include <hv/log.h>
#include <hv/mem.h>

#define BOOT_HEAD  KIB(8)
#define BOOT_PIECE KIB(64)

/* A kernel that is being loaded. The first members are the caller's, see boot_begin(). */
struct loader {
	const struct guest_mem *mem;
	const struct boot_file *kernel;
	const struct boot_file *initrd; /* NULL: none */
	const struct guest_range *ram;  /* all of the VM's; sorted */
	u32 ram_count;
	u32 head_length;  /* bytes of head that the kernel's file has; the rest is 0 */
	u64 kernel_start; /* guest-physical; 0 and 0 until the kernel is placed */
	u64 kernel_end;
	u64 initrd_start; /* the same for the initrd */
	u64 initrd_end;
	u8 head[BOOT_HEAD];
	u8 piece[BOOT_PIECE];
};

/* Says why the kernel is refused; one line per call of a loader. */
#define boot_refuse(l, format, ...)                                                                \
	log_error("kernel '%s': " format, (l)->kernel->name, ##__VA_ARGS__)

static inline u16 get16(const u8 *at)
{
	return (u16)(at[0] | at[1] << 8);
}

static inline u32 get32(const u8 *at)
{
	return get16(at) | (u32)get16(at + 2) << 16;
}

static inline u64 get64(const u8 *at)
{
	return get32(at) | (u64)get32(at + 4) << 32;
}

static inline void put32(u8 *at, u32 value)
{
	for (u32 i = 0; i < 4; i++)
		at[i] = (u8)(value >> (8 * i));
}

static inline void put64(u8 *at, u64 value)
{
	put32(at, (u32)value);
	put32(at + 4, (u32)(value >> 32));
}

/*
 * Nothing is placed yet, and the head is read. @initrd may be NULL. As all functions here that
 * return an error, it says in a log line what was wrong.
 */
HV_MUST_CHECK enum hv_error boot_begin(struct loader *l, const struct guest_mem *mem,
				       const struct boot_file *kernel,
				       const struct boot_file *initrd,
				       const struct guest_range *ram, u32 ram_count);

HV_MUST_CHECK enum hv_error boot_read(struct loader *l, const struct boot_file *file, u64 offset,
				      void *buf, size_t length);
HV_MUST_CHECK enum hv_error boot_write(struct loader *l, u64 to, const void *buf, size_t length);
/* From the file to guest memory, in pieces. */
HV_MUST_CHECK enum hv_error boot_copy(struct loader *l, const struct boot_file *file, u64 offset,
				      u64 to, u64 length);
HV_MUST_CHECK enum hv_error boot_zero(struct loader *l, u64 to, u64 length);

/*
 * The highest multiple of @align, a power of two, from which @size bytes are RAM within @floor and
 * @limit, clear of kernel and initrd; 0 when there is none.
 */
u64 boot_place(const struct loader *l, u64 size, u64 align, u64 floor, u64 limit);
/* Loads the initrd, if there is one, as high as possible within @floor and @limit. */
HV_MUST_CHECK enum hv_error boot_load_initrd(struct loader *l, u64 floor, u64 limit);

/* Whether a kernel that takes @max bytes of command line, without its end, can have @cmdline. */
HV_MUST_CHECK enum hv_error boot_check_cmdline(struct loader *l, const char *cmdline, u64 max);
/* Refusals in words that several loaders need: RAM up to @end is missing, */
void boot_refuse_end(struct loader *l, u64 end);
/* the file should have @size bytes, */
void boot_refuse_cut(struct loader *l, u64 size);
/* or there is no memory at all. */
void boot_refuse_memory(struct loader *l);

#endif
