/* SPDX-License-Identifier: MIT */
/*
 * anew.conf: whatever it says, only sound VMs come out, and a mistake is said. The same bytes as
 * the record of a snapshot: what is taken of them is what anew.conf could have said.
 */
#include <hv/log.h>
#include <internal/config.h>
#include <internal/vm.h>
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

static void record(const uint8_t *data, size_t size)
{
	static struct vm_config vm;
	const char *why = NULL;
	enum hv_error err;

	if (size < state_packed_size(&vm_config_state))
		return;
	state_unpack(&vm_config_state, &vm, data);
	err = vm_config_state.check(&vm, &why);
	if (!err != !why)
		abort();
	if (!err && (!config_name_ok(vm.name) || !vm.memory || vm.memory % MIB(1) || !vm.vcpus ||
		     vm.vcpus > VM_VCPU_MAX || strlen(vm.cmdline) >= sizeof(vm.cmdline)))
		abort();
}

static bool restore_ok(const struct vm_config *vm)
{
	if (!vm->restore[0])
		return vm->kernel[0] && vm->intent == INTENT_COUNT;
	return config_name_ok(vm->restore) && vm->intent < INTENT_COUNT;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct config config;
	enum hv_error err;

	record(data, size);
	said = 0;
	err = config_parse(&config, "fake", "anew.conf", (const char *)data, size);
	if (!err != !said || config.vm_count > CONFIG_VM_MAX || !config.snapshots[0])
		abort();
	for (u32 i = 0; i < config.vm_count; i++) {
		const struct vm_config *vm = &config.vms[i];

		if (!config_name_ok(vm->name) || !restore_ok(vm) || !vm->memory || !vm->vcpus ||
		    vm->vcpus > VM_VCPU_MAX || vm->memory % MIB(1))
			abort();
		for (u32 j = 0; j < i; j++)
			if (!strcmp(config.vms[j].name, vm->name))
				abort();
	}
	return 0;
}
