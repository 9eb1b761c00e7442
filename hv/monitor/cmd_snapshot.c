/* SPDX-License-Identifier: MIT */
#include <internal/arch.h>
#include <internal/console.h>
#include <internal/event.h>
#include <internal/monitor.h>
#include <internal/snapshot.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define CLONES_MAX 64 /* at once; there may be more */

static struct snapshot *find(const char *name)
{
	struct snapshot *s = snapshot_find(name);

	if (!s)
		monitor_error("there is no snapshot %s; `snapshots` lists them", name);
	return s;
}

/* ---- taking, looking, ending ---- */

static void taken(const struct vm *vm, const struct snapshot *s)
{
	char vm_name[EVENT_STRING_MAX], name[EVENT_STRING_MAX];

	console_print("snapshot %s of %s: frozen in %llu us", s->name, vm->config.name,
		      (unsigned long long)s->ns / 1000);
	if (s->stored)
		console_print(", written to the volume: %llu KiB\n",
			      (unsigned long long)s->bytes >> 10);
	else
		console_print(", in memory alone\n");
	event("snapshot", "\"vm\":%s,\"name\":%s,\"pages\":%llu,\"ns\":%llu,\"bytes\":%llu",
	      event_string(vm_name, vm->config.name), event_string(name, s->name),
	      (unsigned long long)s->pages, (unsigned long long)s->ns,
	      (unsigned long long)s->bytes);
}

static bool cmd_snapshot(u32 count, char **args)
{
	const char *names[2];
	char why[SNAPSHOT_WHY_MAX];
	u32 named = 0, how = SNAPSHOT_STORED;
	enum hv_error err;
	struct snapshot *s;
	struct vm *vm;

	for (u32 i = 0; i < count; i++) {
		if (!strcmp(args[i], "--memory"))
			how |= SNAPSHOT_MEMORY;
		else if (!strcmp(args[i], "--replace"))
			how |= SNAPSHOT_REPLACE;
		else if (args[i][0] != '-' && named < 2)
			names[named++] = args[i];
		else
			return false;
	}
	if (named != 2)
		return false;
	vm = monitor_vm(names[0]);
	if (!vm)
		return true;
	monitor_progress_begin();
	err = snapshot_take(vm, names[1], how, monitor_progress, &s, why);
	monitor_progress_end();
	if (err)
		monitor_error("%s", why);
	else
		taken(vm, s);
	return true;
}

/* When @s was taken, in the world's time. */
static void format_time(const struct snapshot *s, char *buf, size_t size)
{
	time_t seconds = (time_t)s->wall;
	struct tm tm;

	snprintf(buf, size, "-");
	if (s->wall && gmtime_r(&seconds, &tm))
		snprintf(buf, size, "%04d-%02d-%02d %02d:%02d", tm.tm_year + 1900, tm.tm_mon + 1,
			 tm.tm_mday, tm.tm_hour, tm.tm_min);
}

static const char *where(const struct snapshot *s)
{
	if (s->damage[0])
		return "unusable: ";
	if (!s->stored)
		return "memory";
	return s->image.root ? "volume, memory" : "volume";
}

static bool cmd_snapshots(u32 count, char **args)
{
	(void)args;
	if (count)
		return false;
	snapshot_scan();
	if (!snapshot_first()) {
		console_print("no snapshots; `snapshot VM NAME` takes one\n");
		return true;
	}
	console_print("%-15s %-11s %-7s %-16s %9s  %-11s %s\n", "NAME", "VM", "ARCH", "TAKEN (UTC)",
		      "KIB", "FROM", "WHERE");
	for (const struct snapshot *s = snapshot_first(); s; s = s->next) {
		u64 bytes = s->stored ? s->bytes : s->pages * PAGE_SIZE;
		char time[24];

		format_time(s, time, sizeof(time));
		console_print("%-15s %-11s %-7s %-16s %9llu  %-11s %s%s\n", s->name,
			      s->config.name[0] ? s->config.name : "-", s->arch[0] ? s->arch : "-",
			      time, (unsigned long long)bytes >> 10,
			      s->parent.name[0] ? s->parent.name : "-", where(s), s->damage);
	}
	return true;
}

static bool cmd_check(u32 count, char **args)
{
	char why[SNAPSHOT_WHY_MAX];
	enum hv_error err;
	struct snapshot *s;

	if (count != 1)
		return false;
	s = find(args[0]);
	if (!s)
		return true;
	monitor_progress_begin();
	err = stored_check(s, monitor_progress, why);
	monitor_progress_end();
	if (err)
		monitor_error("%s", why);
	else
		console_print("snapshot %s is whole: every byte of it was read\n", s->name);
	return true;
}

static bool cmd_delete(u32 count, char **args)
{
	char why[SNAPSHOT_WHY_MAX], name[CONFIG_NAME_MAX], quoted[EVENT_STRING_MAX];
	struct snapshot *s;

	if (count != 1)
		return false;
	s = find(args[0]);
	if (!s)
		return true;
	memcpy(name, s->name, sizeof(name));
	if (snapshot_delete(s, why)) {
		monitor_error("%s", why);
		return true;
	}
	console_print("snapshot %s is deleted\n", name);
	event("deleted", "\"name\":%s", event_string(quoted, name));
	return true;
}

/* ---- restoring ---- */

static void choices(void)
{
	for (u32 i = 0; i < INTENT_COUNT; i++)
		console_print("  %-10s %-8s %s\n", intent_text((enum restore_intent)i),
			      intent_wants_new_id((enum restore_intent)i) ? "new id" : "same id",
			      intent_description((enum restore_intent)i));
}

static void restore(struct snapshot *s, struct restore_request *request)
{
	char why[SNAPSHOT_WHY_MAX];
	enum hv_error err;
	struct vm *vm;

	request->progress = monitor_progress;
	monitor_progress_begin();
	err = snapshot_restore(s, request, &vm, why);
	monitor_progress_end();
	if (err)
		monitor_error("%s", why);
	else
		console_print("%s is as in snapshot %s, with %s id, and %s\n", vm->config.name,
			      s->name, intent_wants_new_id(request->intent) ? "a new" : "the same",
			      vm_state_text(vm->state));
}

static bool cmd_restore(u32 count, char **args)
{
	struct restore_request request = {.started = arch_counter()};
	const char *name = NULL, *wanted = NULL;
	struct snapshot *s;

	for (u32 i = 0; i < count; i++) {
		if (!strcmp(args[i], "--paused"))
			request.paused = true;
		else if (!strcmp(args[i], "--lazy"))
			request.lazy = true;
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
	if (!wanted || intent_parse(wanted, &request.intent)) {
		monitor_error("%s%s; say why it is restored with --intent and one of these:",
			      wanted ? "there is no intent " : "a restore needs an intent",
			      wanted ? wanted : "");
		choices();
		return true;
	}
	restore(s, &request);
	return true;
}

static bool cmd_rollback(u32 count, char **args)
{
	struct restore_request request = {.started = arch_counter(), .intent = INTENT_ROLLBACK};
	struct snapshot *s;
	struct vm *vm;

	if (count > 1)
		return false;
	vm = monitor_vm(count ? args[0] : NULL);
	if (!vm)
		return true;
	if (!vm->lineage.name[0]) {
		monitor_error("%s came from no snapshot; `snapshot %s NAME` takes one",
			      vm->config.name, vm->config.name);
		return true;
	}
	s = snapshot_find(vm->lineage.name);
	if (!s || memcmp(s->id, vm->lineage.id, sizeof(s->id))) {
		monitor_error("snapshot %s, which %s came from, is gone; `snapshots` lists those "
			      "that are there",
			      vm->lineage.name, vm->config.name);
		return true;
	}
	request.vm = vm->config.name;
	restore(s, &request);
	return true;
}

/* A number of clones from 1 to CLONES_MAX; 0: that is none. */
static u32 parse_count(const char *text)
{
	char *end;
	unsigned long n = strtoul(text, &end, 10);

	return *text >= '0' && *text <= '9' && !*end && n <= CLONES_MAX ? (u32)n : 0;
}

static bool cmd_clone(u32 count, char **args)
{
	struct restore_request request = {.started = arch_counter(), .progress = monitor_progress};
	const char *name = NULL;
	u32 wanted = 1, counts = 0;
	struct snapshot *s;

	for (u32 i = 0; i < count; i++) {
		if (!strcmp(args[i], "--paused"))
			request.paused = true;
		else if (args[i][0] == '-')
			return false;
		else if (!name)
			name = args[i];
		else if (!counts++)
			wanted = parse_count(args[i]);
	}
	if (!name || counts > 1)
		return false;
	if (!wanted) {
		monitor_error("that is no number of clones; from 1 to %u", CLONES_MAX);
		return true;
	}
	s = find(name);
	for (u32 i = 0; s && i < wanted; i++) {
		char why[SNAPSHOT_WHY_MAX];
		enum hv_error err;
		struct vm *vm;

		if (i)
			request.started = arch_counter();
		monitor_progress_begin();
		err = snapshot_clone(s, &request, &vm, why);
		monitor_progress_end();
		if (err) {
			monitor_error("clone %u of %u: %s", i + 1, wanted, why);
			return true;
		}
		console_print("%s is a clone of %s in snapshot %s, with a new id, and %s\n",
			      vm->config.name, s->config.name, s->name, vm_state_text(vm->state));
	}
	return true;
}

const struct monitor_command monitor_snapshot_commands[] = {
	{"snapshot", "VM NAME [--replace] [--memory]", "keep the state that it has now",
	 cmd_snapshot},
	{"snapshots", "", "what was kept", cmd_snapshots},
	{"check", "NAME", "read every byte of one on the volume", cmd_check},
	{"restore", "NAME --intent INTENT [--paused] [--lazy]", "put the VM back to it",
	 cmd_restore},
	{"rollback", "[VM]", "back to the snapshot that it came from", cmd_rollback},
	{"clone", "NAME [COUNT] [--paused]", "new VMs that begin as it", cmd_clone},
	{"delete", "NAME", "throw a snapshot away", cmd_delete},
	{0},
};
