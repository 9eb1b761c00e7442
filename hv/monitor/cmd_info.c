/* SPDX-License-Identifier: MIT */
#include <internal/arch.h>
#include <internal/console.h>
#include <internal/host.h>
#include <internal/log.h>
#include <internal/monitor.h>
#include <internal/pool.h>
#include <internal/sched.h>
#include <string.h>

static u64 private_kib(const struct vm *vm)
{
	return vm->mem.private_pages << (PAGE_SHIFT - 10);
}

static bool cmd_list(u32 count, char **args)
{
	(void)args;
	if (count)
		return false;
	if (!vm_first()) {
		console_print("no VMs; describe one in anew.conf and start anew again\n");
		return true;
	}
	console_print("%-31s  %-8s  %10s  %14s  %s\n", "NAME", "STATE", "MEMORY", "PRIVATE",
		      "CAUSE");
	for (const struct vm *vm = vm_first(); vm; vm = vm->next)
		console_print("%-31s  %-8s  %6llu MiB  %10llu KiB  %s\n", vm->config.name,
			      vm_state_text(vm->state),
			      (unsigned long long)(vm->config.memory >> 20),
			      (unsigned long long)private_kib(vm), vm->cause[0] ? vm->cause : "-");
	return true;
}

static bool cmd_info(u32 count, char **args)
{
	static char registers[4096];
	struct vm *vm;

	if (count > 1)
		return false;
	vm = monitor_vm(count ? args[0] : NULL);
	if (!vm)
		return true;
	console_print("name     %s\nstate    %s%s%s\n", vm->config.name, vm_state_text(vm->state),
		      vm->cause[0] ? ": " : "", vm->cause);
	console_print("memory   %llu MiB, of which private %llu KiB in %llu pages\n",
		      (unsigned long long)(vm->config.memory >> 20),
		      (unsigned long long)private_kib(vm),
		      (unsigned long long)vm->mem.private_pages);
	console_print("from     %s\n", vm->lineage.name[0] ? vm->lineage.name : "its kernel");
	console_print("kernel   %s\ninitrd   %s\n", vm->config.kernel,
		      vm->config.initrd[0] ? vm->config.initrd : "-");
	/* Longer than one console_print() takes. */
	console_print("cmdline  ");
	console_write_text(vm->config.cmdline, strlen(vm->config.cmdline));
	console_print("\n");
	vm_hold(vm);
	for (u32 i = 0; i < vm->vcpu_count; i++) {
		size_t length = arch_vcpu_describe(&vm->vcpus[i], registers, sizeof(registers));

		console_print("vcpu %u, %s\n", i, vcpu_state_text(vcpu_rests(&vm->vcpus[i])));
		console_write_text(registers, (size_t)min_u64(length, sizeof(registers)));
		console_fresh_line();
	}
	vm_release(vm);
	return true;
}

static void stat(const char *name, u64 value)
{
	console_print("%-20s %14llu\n", name, (unsigned long long)value);
}

static void vm_stats(const struct vm *vm)
{
	u64 all = 0;

	for (u32 reason = 0; reason < EXIT_REASON_COUNT; reason++) {
		u64 exits = 0;

		for (u32 i = 0; i < vm->vcpu_count; i++)
			exits += vm->vcpus[i].exits[reason];
		if (exits)
			stat(exit_reason_text(reason), exits);
		all += exits;
	}
	stat("all exits", all);
	stat("private pages", vm->mem.private_pages);
	stat("table pages", vm->mem.table_pages);
}

static u64 milliseconds(u64 ticks)
{
	return muldiv_u64(ticks, 1000, arch_counter_hz());
}

/*
 * Of anew itself: what the machine has less of, what of that is for guests, and how much of its
 * time nobody needed.
 */
static void own_stats(void)
{
	stat("anew's own pages", host_memory_taken() / PAGE_SIZE - machine_pool.total_pages);
	stat("guest pages", machine_pool.total_pages);
	stat("free guest pages", pool_free_pages());
	stat("clock, ms", milliseconds(arch_counter()));
	stat("asleep, ms", milliseconds(sched_slept()));
}

static bool cmd_stats(u32 count, char **args)
{
	const struct vm *vm;

	if (count > 1)
		return false;
	if (count || vm_first()) {
		vm = monitor_vm(count ? args[0] : NULL);
		if (!vm)
			return true;
		vm_stats(vm);
	}
	own_stats();
	return true;
}

static const char *const levels[] = {
	[LOG_ERROR] = "error", [LOG_WARN] = "warning", [LOG_INFO] = "info", [LOG_DEBUG] = "debug"};

static bool cmd_log(u32 count, char **args)
{
	char text[LOG_LINE_MAX];
	u64 cursor = 0;
	size_t length;

	if (count > 1)
		return false;
	if (!count) {
		while ((length = log_read(&cursor, text, sizeof(text))))
			console_write_text(text, length);
		return true;
	}
	for (u32 i = 0; i < ARRAY_COUNT(levels); i++) {
		if (strcmp(args[0], levels[i]))
			continue;
		log_level_set((enum log_level)i);
		console_print("lines of level %s and graver are kept from now on\n", levels[i]);
		return true;
	}
	return false;
}

const struct monitor_command monitor_info_commands[] = {
	{"list", "", "the VMs", cmd_list},
	{"info", "[VM]", "one VM with its registers", cmd_info},
	{"stats", "[VM]", "exits and pages of one VM, and of anew", cmd_stats},
	{"log", "[error | warning | info | debug]", "the log, or what is kept of it", cmd_log},
	{0},
};
