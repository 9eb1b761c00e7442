/* SPDX-License-Identifier: MIT */
#include <internal/arch.h>
#include <internal/check.h>
#include <internal/config.h>
#include <internal/console.h>
#include <internal/event.h>
#include <internal/host.h>
#include <internal/log.h>
#include <internal/monitor.h>
#include <internal/sched.h>
#include <internal/snapshot.h>
#include <internal/version.h>
#include <internal/volume.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONFIG_FILE "anew.conf"

static const char *machine_name; /* host_name(), for when the firmware can't be asked */

static void banner(void)
{
	console_print("\nanew %s (%s, %s) on %s, %llu MiB free\n", anew_build, arch_name(),
		      arch_backend_name(), machine_name,
		      (unsigned long long)(host_memory_free() >> 20));
}

/*
 * The mistakes are said by the parser; what is sound of the file is used. HV_ENOT_FOUND: there is
 * none, and the built-in demo is.
 */
static enum hv_error read_config(struct config *config)
{
	enum hv_error err;
	char *text;
	u64 size;

	config_default(config);
	err = host_file_size(CONFIG_FILE, &size);
	if (err == HV_ENOT_FOUND)
		return err;
	/* Nothing but where snapshots are is of use beside a file that can't be read. */
	config->vm_count = 0;
	if (!err && size > CONFIG_TEXT_MAX)
		err = HV_ETOO_BIG;
	text = err ? NULL : malloc((size_t)size + 1);
	if (!err && !text)
		err = HV_ENO_MEMORY;
	if (!err)
		err = host_file_read(CONFIG_FILE, 0, text, (size_t)size);
	if (err) {
		log_error(CONFIG_FILE " can't be read: %s; no VM is started", hv_error_text(err));
	} else {
		err = config_parse(config, arch_name(), CONFIG_FILE, text, (size_t)size);
		if (err)
			log_warn(CONFIG_FILE
				 " has mistakes; `make check-conf` finds them before a start");
	}
	free(text);
	return err;
}

/* From a snapshot; what goes wrong is said in a log line. */
static enum hv_error start_from_snapshot(const struct vm_config *config)
{
	const struct restore_request request = {
		.intent = (enum restore_intent)config->intent,
		.paused = config->paused,
		.vm = config->name,
		.started = arch_counter(),
		.progress = monitor_progress,
	};
	struct snapshot *s = snapshot_find(config->restore);
	char why[SNAPSHOT_WHY_MAX];
	struct vm *vm;
	enum hv_error err;

	if (!s) {
		log_error(CONFIG_FILE ":%u: there is no snapshot %s to restore; `snapshots` in the "
				      "monitor lists them",
			  config->line, config->restore);
		return HV_ENOT_FOUND;
	}
	monitor_progress_begin();
	err = snapshot_restore(s, &request, &vm, why);
	monitor_progress_end();
	if (err)
		log_error(CONFIG_FILE ":%u: restore = %s: %s", config->line, config->restore, why);
	return err;
}

static enum hv_error start_vm(const struct vm_config *config)
{
	struct vm *vm;
	enum hv_error err;

	if (config->restore[0])
		return start_from_snapshot(config);
	err = vm_create(config, &vm);
	if (!err && !config->paused)
		vm_resume(vm);
	return err;
}

static void start_vms(const struct config *config)
{
	for (u32 i = 0; i < config->vm_count; i++) {
		char text[CONFIG_NAME_MAX + 16], quoted[EVENT_STRING_MAX];

		/* Which says itself why it failed; the others go on. */
		if (!start_vm(&config->vms[i]))
			continue;
		snprintf(text, sizeof(text), "%s: not started", config->vms[i].name);
		event("error", "\"text\":%s", event_string(quoted, text));
	}
}

static void end_vms(void)
{
	while (vm_first())
		vm_destroy(vm_first());
	snapshot_fini();
}

static void run(const struct config *config)
{
	char backend[EVENT_STRING_MAX], build[EVENT_STRING_MAX];

	event_enable(config->events);
	event("start", "\"build\":%s,\"backend\":%s,\"image\":\"0x%llx\"",
	      event_string(build, anew_build), event_string(backend, arch_backend_name()),
	      (unsigned long long)host_image_base());
	cpus_start(config->processors);
	volume_set_part(config->part);
	snapshot_init(config->snapshots);
	start_vms(config);
	/* What went wrong so far is read before a guest's output runs over it. */
	console_flush();
	console_focus(vm_first());
	while (!monitor_ended()) {
		console_poll();
		cpu_stop_in_panic();
		sched_run_slice();
	}
	end_vms();
	cpus_stop();
}

/* What a processor says that can't call the firmware; complete when `panicked` is set. */
static char panic_report[16 * LOG_LINE_MAX];
static u32 panicked; /* atomic: no processor may go on */

/* Whatever the context is: the machine stops right after, so nothing is lost by trying. */
static void show_panic_line(const char *line)
{
	size_t length = strcspn(line, "\n"), used = strlen(panic_report);

	if (!arch_on_boot_cpu()) {
		snprintf(panic_report + used, sizeof(panic_report) - used, "%.*s\n", (int)length,
			 line);
		return;
	}
	host_context_firmware = true;
	console_fresh_line();
	console_push();
	host_console_write((const u8 *)line, length);
	host_console_write((const u8 *)"\r\n", 2);
}

static void panic_details(void)
{
	static char exits[LOG_LINE_MAX];

	log_panic_line("on %s, %s, %s", arch_name(), arch_backend_name(), machine_name);
	for (const struct vm *vm = vm_first(); vm; vm = vm->next) {
		for (u32 i = 0; i < vm->vcpu_count; i++) {
			vcpu_describe_exits(&vm->vcpus[i], exits, sizeof(exits));
			log_panic_line("last exits of %s, vCPU %u, the latest first: %s",
				       vm->config.name, i, exits);
		}
	}
	log_panic_line(
		"this is a mistake in anew, not in a guest; please report all of these lines, "
		"with anew.conf and what the guests did");
	log_panic_line("the machine is stopped: switch it off and on again");
	__atomic_store_n(&panicked, 1, __ATOMIC_SEQ_CST);
	for (u32 i = 0; i < cpu_count; i++)
		arch_cpu_kick(&cpus[i]);
}

void cpu_stop_in_panic(void)
{
	const char *line = panic_report;

	if (!__atomic_load_n(&panicked, __ATOMIC_SEQ_CST))
		return;
	while (arch_on_boot_cpu() && *line) {
		show_panic_line(line);
		line += strcspn(line, "\n") + 1;
	}
	for (;;)
		cpu_relax();
}

int anew_main(void)
{
	static struct config config;
	enum hv_error config_read, err;

	machine_name = host_name();
	log_panic_hook = show_panic_line;
	log_panic_details = panic_details;
	config_read = read_config(&config);
	if (config.check || host_option("--check"))
		return check_report(&config, config_read) ? 0 : 1;
	err = arch_check();
	banner();
	console_push();
	if (err || arch_cpu_on(cpu_boot())) {
		console_flush();
		console_print("anew can't run on this machine; nothing was changed\n");
		console_push();
		return 1;
	}
	if (config_read == HV_ENOT_FOUND)
		log_info("no " CONFIG_FILE " beside anew: starting the built-in demo");
	run(&config);
	arch_cpu_off(cpu_boot());
	console_flush();
	console_print("anew ends\n");
	console_push();
	return 0;
}
