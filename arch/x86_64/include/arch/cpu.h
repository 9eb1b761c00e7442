/* SPDX-License-Identifier: MIT */
/* The x86_64 part of a processor. All of it is its own, but for what says otherwise. */
#ifndef ARCH_CPU_H
#define ARCH_CPU_H

#include <hv/types.h>

struct vcpu;

/* What LIDT and SIDT take. */
struct vectors_pointer {
	u16 limit;
	u64 base;
} __attribute__((packed));

/* Pages of 4 KiB that a vendor's virtualisation needs for each processor. */
#define CPU_PAGES 2u

struct svm_cpu {
	u64 hsave_before;
	bool efer_svme_before;
	u32 asid_next;
	u64 asid_generation;
	/* What was there before a virtual CPU's. */
	u64 rflags;
	u64 dr[4], dr6, dr7;
	u8 fpu[512] __attribute__((aligned(16)));
};

struct cpu_arch {
	u8 *pages;               /* CPU_PAGES for the vendor's part; constant while it is on */
	const struct vcpu *vcpu; /* loaded; NULL: none */
	struct vectors_pointer vectors_before;
	u64 timer_at;            /* host counter: of arch_cpu_timer() */
	struct cpu_start *start; /* constant: how it was started; NULL for the boot CPU */
	struct svm_cpu svm;
};

#endif
