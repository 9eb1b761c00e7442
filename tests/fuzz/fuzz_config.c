/* SPDX-License-Identifier: MIT */
/* anew.conf: whatever it says, only sound VMs come out, and a mistake is said. */
#include <hv/log.h>
#include <internal/config.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static u32 said;

void log_print(enum log_level level, const char *format, ...)
{
	(void)level;
	(void)format;
	said++;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct config config;
	enum hv_error err;

	said = 0;
	err = config_parse(&config, "anew.conf", (const char *)data, size);
	if (!err != !said || config.vm_count > CONFIG_VM_MAX)
		abort();
	for (u32 i = 0; i < config.vm_count; i++) {
		const struct vm_config *vm = &config.vms[i];

		if (!config_name_ok(vm->name) || !vm->kernel[0] || !vm->memory || vm->vcpus != 1 ||
		    vm->memory % MIB(1))
			abort();
		for (u32 j = 0; j < i; j++)
			if (!strcmp(config.vms[j].name, vm->name))
				abort();
	}
	return 0;
}
