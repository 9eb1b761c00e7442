/* SPDX-License-Identifier: MIT */
#include <internal/arch.h>
#include <internal/console.h>
#include <internal/event.h>
#include <internal/host.h>
#include <internal/monitor.h>
#include <internal/snapshot.h>
#include <string.h>

static bool cmd_snapshot(u32 count, char **args)
{
	char why[SNAPSHOT_WHY_MAX], vm_name[EVENT_STRING_MAX], name[EVENT_STRING_MAX];
	struct snapshot *s;
	struct vm *vm;

	if (count != 2)
		return false;
	vm = monitor_vm(args[0]);
	if (!vm)
		return true;
	if (snapshot_take(vm, args[1], &s, why)) {
		monitor_error("%s", why);
		return true;
	}
	console_print("snapshot %s of %s: %llu pages in %llu us\n", s->name, vm->config.name,
		      (unsigned long long)s->pages, (unsigned long long)s->ns / 1000);
	event("snapshot", "\"vm\":%s,\"name\":%s,\"pages\":%llu,\"ns\":%llu",
	      event_string(vm_name, vm->config.name), event_string(name, s->name),
	      (unsigned long long)s->pages, (unsigned long long)s->ns);
	return true;
}

static void print_age(const struct snapshot *s)
{
	u64 now = host_wall_clock();

	if (s->wall && now >= s->wall)
		console_print("%llu s ago\n", (unsigned long long)(now - s->wall));
	else
		console_print("-\n");
}

static bool cmd_snapshots(u32 count, char **args)
{
	(void)args;
	if (count)
		return false;
	if (!snapshot_first()) {
		console_print("no snapshots; `snapshot VM NAME` takes one\n");
		return true;
	}
	console_print("%-31s  %-31s  %10s  %s\n", "NAME", "VM", "PAGES", "TAKEN");
	for (const struct snapshot *s = snapshot_first(); s; s = s->next) {
		console_print("%-31s  %-31s  %10llu  ", s->name, s->config.name,
			      (unsigned long long)s->pages);
		print_age(s);
	}
	return true;
}

static struct snapshot *find(const char *name)
{
	struct snapshot *s = snapshot_find(name);

	if (!s)
		monitor_error("there is no snapshot %s; `snapshots` lists them", name);
	return s;
}

static void choices(void)
{
	for (u32 i = 0; i < INTENT_COUNT; i++)
		console_print("  %-10s %-8s %s\n", intent_text((enum restore_intent)i),
			      intent_wants_new_id((enum restore_intent)i) ? "new id" : "same id",
			      intent_description((enum restore_intent)i));
}

static bool cmd_restore(u32 count, char **args)
{
	u64 started = arch_counter();
	const char *name = NULL, *wanted = NULL;
	char why[SNAPSHOT_WHY_MAX];
	enum restore_intent intent;
	bool paused = false;
	struct snapshot *s;

	for (u32 i = 0; i < count; i++) {
		if (!strcmp(args[i], "--paused"))
			paused = true;
		else if (!strcmp(args[i], "--intent") && i + 1 < count && !wanted)
			wanted = args[++i];
		else if (!strncmp(args[i], "--intent=", 9) && !wanted)
			wanted = args[i] + 9;
		else if (args[i][0] != '-' && !name)
			name = args[i];
		else if (strcmp(args[i], "--intent"))
			return false;
	}
	if (!name)
		return false;
	s = find(name);
	if (!s)
		return true;
	if (!wanted || intent_parse(wanted, &intent)) {
		monitor_error("%s%s; say why it is restored with --intent and one of these:",
			      wanted ? "there is no intent " : "a restore needs an intent",
			      wanted ? wanted : "");
		choices();
		return true;
	}
	if (snapshot_restore(s, intent, paused, started, why))
		monitor_error("%s", why);
	else
		console_print("%s is as in snapshot %s, with %s id, and %s\n", s->config.name,
			      s->name, intent_wants_new_id(intent) ? "a new" : "the same",
			      vm_state_text(vm_find(s->config.name)->state));
	return true;
}

static bool cmd_delete(u32 count, char **args)
{
	struct snapshot *s;

	if (count != 1)
		return false;
	s = find(args[0]);
	if (!s)
		return true;
	console_print("snapshot %s is deleted\n", s->name);
	snapshot_delete(s);
	return true;
}

const struct monitor_command monitor_snapshot_commands[] = {
	{"snapshot", "VM NAME", "keep the state that it has now", cmd_snapshot},
	{"snapshots", "", "what was kept", cmd_snapshots},
	{"restore", "NAME --intent INTENT [--paused]", "put the VM back to it", cmd_restore},
	{"delete", "NAME", "throw a snapshot away", cmd_delete},
	{0},
};
