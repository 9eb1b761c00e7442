/* SPDX-License-Identifier: MIT */
/*
 * Types and small helpers that every part of anew may use. Nothing here depends on an architecture.
 *
 * Addresses are types of their own, so that a guest address can't be used as a host one by
 * mistake: gpa_t is guest-physical, hpa_t host-physical; host virtual addresses are pointers.
 */
#ifndef HV_TYPES_H
#define HV_TYPES_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
typedef int32_t s32;
typedef int64_t s64;

typedef struct {
	u64 v;
} gpa_t;

typedef struct {
	u64 v;
} hpa_t;

#define GPA(x) ((gpa_t){(x)})
#define HPA(x) ((hpa_t){(x)})

#define KIB(n) ((u64)(n) << 10)
#define MIB(n) ((u64)(n) << 20)
#define GIB(n) ((u64)(n) << 30)

#define PAGE_SHIFT 12
#define PAGE_SIZE  ((u64)1 << PAGE_SHIFT)

#define NS_PER_SEC ((u64)1000000000)
#define NS_PER_MS  ((u64)1000000)

#define BIT(n)           ((u64)1 << (n))
#define ARRAY_COUNT(a)   (sizeof(a) / sizeof((a)[0]))
#define ALIGN_UP(x, a)   (((x) + ((a)-1)) & ~((a)-1))
#define ALIGN_DOWN(x, a) ((x) & ~((a)-1))

#define HV_MUST_CHECK   __attribute__((warn_unused_result))
#define HV_PRINTF(f, a) __attribute__((format(printf, f, a)))
#define HV_NORETURN     __attribute__((noreturn))
#define HV_UNUSED       __attribute__((unused))

/* The structure that @ptr, the address of its member @member, is part of. */
#define container_of(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

static inline u64 min_u64(u64 a, u64 b)
{
	return a < b ? a : b;
}

static inline u64 max_u64(u64 a, u64 b)
{
	return a > b ? a : b;
}

/* Pages of 4 KiB that @bytes take. */
static inline u64 pages_of(u64 bytes)
{
	return bytes / PAGE_SIZE + (bytes % PAGE_SIZE != 0);
}

/* @a * @b / @c without overflow in between. @c is not 0, and the result must fit in 64 bits. */
static inline u64 muldiv_u64(u64 a, u64 b, u64 c)
{
	return (u64)((unsigned __int128)a * b / c);
}

#endif
