/* SPDX-License-Identifier: MIT */
#include <internal/console.h>
#include <internal/event.h>
#include <internal/monitor.h>

static bool cmd_console(u32 count, char **args)
{
	struct vm *vm;

	if (count > 1)
		return false;
	vm = monitor_vm(count ? args[0] : NULL);
	if (vm)
		console_focus(vm);
	return true;
}

static bool cmd_pause(u32 count, char **args)
{
	struct vm *vm;

	if (count > 1)
		return false;
	vm = monitor_vm(count ? args[0] : NULL);
	if (!vm)
		return true;
	if (vm->state != VM_RUNNING) {
		monitor_error("%s is not running, it is %s", vm->config.name,
			      vm_state_text(vm->state));
		return true;
	}
	vm_pause(vm);
	console_print("%s is paused; `resume %s` lets it go on\n", vm->config.name,
		      vm->config.name);
	return true;
}

static bool cmd_resume(u32 count, char **args)
{
	struct vm *vm;

	if (count > 1)
		return false;
	vm = monitor_vm(count ? args[0] : NULL);
	if (!vm)
		return true;
	if (vm->state != VM_PAUSED) {
		monitor_error("%s is not paused, it is %s%s%s", vm->config.name,
			      vm_state_text(vm->state), vm->state == VM_RUNNING ? "" : "; `reset ",
			      vm->state == VM_RUNNING ? "" : "VM` starts it again");
		return true;
	}
	vm_resume(vm);
	console_print("%s is running\n", vm->config.name);
	return true;
}

static bool cmd_reset(u32 count, char **args)
{
	enum hv_error err;
	struct vm *vm;

	if (count != 1)
		return false;
	vm = monitor_vm(args[0]);
	if (!vm)
		return true;
	err = vm_reset(vm);
	if (err)
		monitor_error("%s is not reset: %s; `log` says more", vm->config.name,
			      hv_error_text(err));
	else
		console_print("%s starts from the beginning and is %s\n", vm->config.name,
			      vm_state_text(vm->state));
	return true;
}

static bool cmd_end(u32 count, char **args)
{
	char name[EVENT_STRING_MAX];
	struct vm *vm;

	if (count != 1)
		return false;
	vm = monitor_vm(args[0]);
	if (!vm)
		return true;
	console_print("%s has ended; snapshots of it are kept\n", vm->config.name);
	event("ended", "\"vm\":%s", event_string(name, vm->config.name));
	vm_destroy(vm);
	return true;
}

static bool cmd_exit(u32 count, char **args)
{
	(void)args;
	if (count)
		return false;
	monitor_end();
	return true;
}

const struct monitor_command monitor_vm_commands[] = {
	{"console", "[VM]", "to the guest's console; Ctrl-] comes back", cmd_console},
	{"pause", "[VM]", "stop it where it is", cmd_pause},
	{"resume", "[VM]", "let it go on", cmd_resume},
	{"reset", "VM", "as if its reset button were pressed", cmd_reset},
	{"end", "VM", "end it and give its memory back", cmd_end},
	{"exit", "", "end all, and go back to the firmware", cmd_exit},
	{0},
};
