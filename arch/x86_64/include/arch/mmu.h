/* SPDX-License-Identifier: MIT */
/* The guest's own page tables, read by software: to fetch the instruction behind an MMIO exit. */
#ifndef ARCH_MMU_H
#define ARCH_MMU_H

#include <arch/backend.h>

/*
 * Translates guest-virtual @address without permission checks (the hardware has just carried out
 * the access) and without setting accessed bits. HV_ENOT_FOUND when it isn't mapped.
 */
HV_MUST_CHECK enum hv_error mmu_translate(struct vm *vm, const struct x86_mode *mode, u64 address,
					  gpa_t *gpa);

/*
 * Copies up to @length bytes of guest-virtual memory at @address; returns how many could be read,
 * which is fewer at a page that isn't mapped.
 */
size_t mmu_read(struct vm *vm, const struct x86_mode *mode, u64 address, u8 *buf, size_t length);

#endif
