/* SPDX-License-Identifier: MIT */
/* A host with memory and nothing else, for tests of real VMs on arch/fake; no clock, no idling. */
#ifndef TESTS_HOST_BARE_H
#define TESTS_HOST_BARE_H

#include <internal/arch.h>
#include <internal/host.h>
#include <internal/pool.h>
#include <stdlib.h>
#include <string.h>

#include "host_pages.h"
#include "host_silent.h"

enum hv_error host_alloc_blocks(u32 blocks, hpa_t *base)
{
	void *ptr = blocks > 64 ? NULL : aligned_alloc(MIB(2), MIB(2) * blocks);

	*base = HPA((u64)(uintptr_t)ptr);
	return ptr ? HV_OK : HV_ENO_MEMORY;
}

u64 host_memory_free(void)
{
	return MIB(128);
}

u64 host_memory_taken(void)
{
	return 0;
}

enum hv_error host_entropy(void *buf, size_t length)
{
	memset(buf, 1, length);
	return HV_OK;
}

/* A VM of that name and @vcpus virtual CPUs, paused; the pool is there from the first on. */
static inline enum hv_error bare_vm_of(const char *name, u32 vcpus, struct vm **vm)
{
	struct vm_config config = {.memory = MIB(4), .vcpus = vcpus};

	memcpy(config.name, name, strlen(name) + 1);
	if (!machine_pool.total_pages)
		pool_init(&machine_pool);
	return vm_create(&config, vm);
}

static inline enum hv_error bare_vm(const char *name, struct vm **vm)
{
	return bare_vm_of(name, 1, vm);
}

#endif
