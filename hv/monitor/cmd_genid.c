/* SPDX-License-Identifier: MIT */
#include <devices/intent.h>
#include <devices/vmclock.h>
#include <devices/vmgenid.h>
#include <internal/console.h>
#include <internal/event.h>
#include <internal/monitor.h>
#include <string.h>

static void show(const struct vm *vm)
{
	char text[VMGENID_TEXT_SIZE], words[VMGENID_WORDS_SIZE];

	vmgenid_format(vm->genid->id, text, sizeof(text));
	vmgenid_format_words(vm->genid->id, words, sizeof(words));
	console_print("%s  low:high %s  replaced %llu times\n", text, words,
		      (unsigned long long)vm->genid->generation);
	console_print("VMClock: disruption marker 0x%016llx, generation counter 0x%016llx, "
		      "changed %u times\n",
		      (unsigned long long)vm->vmclock->marker,
		      (unsigned long long)vm->vmclock->generation, vm->vmclock->seq_count / 2);
}

/*
 * After the id was replaced: so is the generation, the guest is told, and whoever reads the events;
 * never the id.
 */
static void replaced(struct vm *vm, u64 generation, const char *reason)
{
	char name[EVENT_STRING_MAX];
	const struct vmclock_change change = {.disrupted = intent_rotate.new_marker,
					      .generation = generation};
	enum hv_error err = vmclock_update(vm->vmclock, &change);

	event_string(name, vm->config.name);
	vmgenid_notify_guest(vm->genid);
	event("genid", "\"vm\":%s,\"reason\":\"%s\"", name, reason);
	if (err) {
		monitor_error("%s has a new id, but its VMClock can't be changed: %s; try again",
			      vm->config.name, hv_error_text(err));
		return;
	}
	vmclock_notify_guest(vm->vmclock);
	event("vmclock", "\"vm\":%s,\"reason\":\"%s\"", name, reason);
	console_print("%s has a new id and is told\n", vm->config.name);
}

static void rotate(struct vm *vm)
{
	u64 generation;
	enum hv_error err = vmclock_draw(vm->vmclock, &generation);

	if (!err)
		err = vmgenid_rotate(vm->genid);
	if (err)
		monitor_error("no new id for %s: %s; it keeps the one it has, try again later",
			      vm->config.name, hv_error_text(err));
	else
		replaced(vm, generation, "rotate");
}

static void set(struct vm *vm, const char *text)
{
	u8 id[VMGENID_BYTES];
	u64 generation;
	enum hv_error err = vmgenid_parse(text, id);

	if (err) {
		monitor_error("%s is no id; write 12345678-9abc-def0-1234-56789abcdef0 or "
			      "0xLOW:0xHIGH with 16 digits each",
			      text);
		return;
	}
	if (!memcmp(id, vm->genid->id, sizeof(id))) {
		monitor_error("%s has that id already; `genid %s rotate` draws a new one",
			      vm->config.name, vm->config.name);
		return;
	}
	if (vm_with_id(vm, id)) {
		monitor_error("%s has that id, and two VMs must not share it",
			      vm_with_id(vm, id)->config.name);
		return;
	}
	err = vmclock_draw(vm->vmclock, &generation);
	if (!err)
		err = vmgenid_update(vm->genid, id);
	if (err)
		monitor_error("the id of %s can't be set: %s; it keeps the one it has",
			      vm->config.name, hv_error_text(err));
	else
		replaced(vm, generation, "set");
}

static bool cmd_genid(u32 count, char **args)
{
	/* `genid` and `genid show` are about the only VM. */
	bool bare = !count || (count == 1 && !strcmp(args[0], "show") && !vm_find("show"));
	const char *what = count > 1 ? args[1] : "show";
	bool is_set = !strcmp(what, "set");
	struct vm *vm;

	if (count > 3 || (count == 3) != is_set)
		return false;
	if (!is_set && strcmp(what, "show") && strcmp(what, "rotate"))
		return false;
	vm = monitor_vm(bare ? NULL : args[0]);
	if (!vm)
		return true;
	if (!vm->genid || !vm->vmclock) {
		monitor_error("%s has no VMGenID and VMClock", vm->config.name);
		return true;
	}
	vm_hold(vm);
	if (is_set)
		set(vm, args[2]);
	else if (!strcmp(what, "rotate"))
		rotate(vm);
	else
		show(vm);
	vm_release(vm);
	return true;
}

const struct monitor_command monitor_genid_commands[] = {
	{"genid", "[VM] show | VM rotate | VM set GUID", "VM generation id", cmd_genid},
	{0},
};
