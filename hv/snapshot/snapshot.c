/* SPDX-License-Identifier: MIT */
#include <devices/vmgenid.h>
#include <internal/arch.h>
#include <internal/event.h>
#include <internal/host.h>
#include <internal/pool.h>
#include <internal/snapshot.h>
#include <stdio.h>
#include <string.h>

/* A restored VM that was not entered yet. */
struct restored {
	char vm[CONFIG_NAME_MAX]; /* empty: this place is free */
	char snapshot[CONFIG_NAME_MAX];
	enum restore_intent intent;
	u64 started; /* host counter */
};

/* Pages that a snapshot, and a restore with a new id, take of the pool at most, and then some. */
#define POOL_PAGES 16

static struct snapshot *snapshots;
static struct restored restored[CONFIG_VM_MAX];
/* What the VM held that was restored last, until snapshot_poll(); root is NULL without any. */
static struct mem_image given_up;

static void give_back(void)
{
	if (given_up.root)
		mem_image_fini(&given_up);
}

struct snapshot *snapshot_first(void)
{
	return snapshots;
}

struct snapshot *snapshot_find(const char *name)
{
	for (struct snapshot *s = snapshots; s; s = s->next)
		if (!strcmp(s->name, name))
			return s;
	return NULL;
}

/* Frozen memory is read-only now, or another: what the processor remembers of it is stale. */
static void flush(struct vm *vm)
{
	for (u32 i = 0; i < vm->vcpu_count; i++)
		vm->vcpus[i].pending |= PENDING_FLUSH | PENDING_IRQ;
}

/* So that what is begun need not end halfway for want of memory. */
static enum hv_error fill_pool(char *why)
{
	enum hv_error err = HV_OK;

	if (machine_pool.free_pages < POOL_PAGES)
		err = pool_refill();
	if (err)
		snprintf(why, SNAPSHOT_WHY_MAX,
			 "no guest memory is left (%s); delete a snapshot or end another VM",
			 hv_error_text(err));
	return err;
}

/* ---- taking ---- */

static enum hv_error may_take(const struct vm *vm, const char *name, char *why)
{
	if (vm->state == VM_OFF || vm->state == VM_FAILED) {
		snprintf(why, SNAPSHOT_WHY_MAX,
			 "%s is %s, there is no state to keep; `reset %s` starts it again",
			 vm->config.name, vm_state_text(vm->state), vm->config.name);
		return HV_EBUSY;
	}
	if (!config_name_ok(name)) {
		snprintf(why, SNAPSHOT_WHY_MAX, "%.40s is no name for a snapshot; %s", name,
			 config_name_rule);
		return HV_EINVALID;
	}
	if (snapshot_find(name)) {
		snprintf(why, SNAPSHOT_WHY_MAX,
			 "there is a snapshot %s already; `delete %s` or choose another name", name,
			 name);
		return HV_EEXISTS;
	}
	return HV_OK;
}

/* A snapshot's records lie behind it. */
static u32 snapshot_pages(size_t records_length)
{
	return (u32)pages_of(sizeof(struct snapshot) + records_length);
}

static enum hv_error freeze(struct vm *vm, struct snapshot *s, char *why)
{
	enum hv_error err;

	s->pages = vm->mem.private_pages;
	records_save(vm->records, vm->record_count, s->records);
	err = mem_freeze(&vm->mem, &s->image);
	flush(vm);
	if (err)
		snprintf(why, SNAPSHOT_WHY_MAX,
			 "the memory of %s can't be frozen: %s; delete a "
			 "snapshot or end another VM",
			 vm->config.name, hv_error_text(err));
	return err;
}

enum hv_error snapshot_take(struct vm *vm, const char *name, struct snapshot **out, char *why)
{
	u64 begin = arch_counter();
	bool running = vm->state == VM_RUNNING;
	size_t records_length = records_size(vm->records, vm->record_count);
	struct snapshot **link = &snapshots;
	struct snapshot *s;
	enum hv_error err = may_take(vm, name, why);

	if (!err)
		err = fill_pool(why);
	if (err)
		return err;
	s = host_alloc_pages(snapshot_pages(records_length));
	if (!s) {
		snprintf(why, SNAPSHOT_WHY_MAX, "no memory for the state of %s; delete a snapshot",
			 vm->config.name);
		return HV_ENO_MEMORY;
	}
	s->records = (u8 *)(s + 1);
	s->records_length = records_length;
	memcpy(s->name, name, strlen(name) + 1);
	s->config = vm->config;
	s->wall = host_wall_clock();
	vm_pause(vm);
	err = freeze(vm, s, why);
	if (running)
		vm_resume(vm);
	if (err) {
		host_free_pages(s, snapshot_pages(records_length));
		return err;
	}
	s->ns = muldiv_u64(arch_counter() - begin, NS_PER_SEC, arch_counter_hz());
	while (*link)
		link = &(*link)->next;
	*link = s;
	*out = s;
	return HV_OK;
}

void snapshot_delete(struct snapshot *s)
{
	struct snapshot **link = &snapshots;

	while (*link != s)
		link = &(*link)->next;
	*link = s->next;
	mem_image_fini(&s->image);
	host_free_pages(s, snapshot_pages(s->records_length));
}

/* ---- restoring ---- */

/* A new id is drawn before anything is touched, so that a lack of entropy refuses the restore. */
static enum hv_error draw_id(struct vm *vm, u8 id[VMGENID_BYTES], char *why)
{
	static const u8 zero[VMGENID_BYTES];
	enum hv_error err;

	if (!vm->genid) {
		snprintf(why, SNAPSHOT_WHY_MAX,
			 "%s has no VMGenID device to be told by; only `resume` can do without",
			 vm->config.name);
		return HV_EUNSUPPORTED;
	}
	err = rng_fill(&vm->rng, id, VMGENID_BYTES);
	if (!err && (!memcmp(id, zero, VMGENID_BYTES) || !memcmp(id, vm->genid->id, VMGENID_BYTES)))
		err = HV_ENO_ENTROPY;
	if (err)
		snprintf(why, SNAPSHOT_WHY_MAX,
			 "no new id for %s: %s; nothing was changed, try again later",
			 vm->config.name, hv_error_text(err));
	return err;
}

/* Records, then memory: the first that can't be replaced leaves everything as it was. */
static enum hv_error replace(struct vm *vm, const struct snapshot *s, char *why)
{
	struct records_index index;
	enum hv_error err = records_parse(vm->records, vm->record_count, s->records,
					  s->records_length, &index, why);

	if (!err)
		err = records_check(vm->records, vm->record_count, &index, why);
	if (err)
		return err;
	give_back();
	err = mem_attach(&vm->mem, &s->image, &given_up);
	if (err) {
		snprintf(why, SNAPSHOT_WHY_MAX,
			 "no memory for a layer over the snapshot: %s; "
			 "delete a snapshot or end another VM",
			 hv_error_text(err));
		return err;
	}
	/* Paused, whatever it was: time stands still while the records find their place. */
	if (vm->state != VM_PAUSED) {
		vm->state = VM_PAUSED;
		vm->state_changed = true;
	}
	vm->cause[0] = 0;
	vm->reset_wanted = false;
	vm->mem_wanted = false;
	vm->first_entry_counter = 0;
	records_commit(vm->records, vm->record_count, &index);
	records_after_load(vm->records, vm->record_count);
	flush(vm);
	return HV_OK;
}

/* The interrupt controller is in place already; update() writes and cleans, then the line. */
static enum hv_error renew_id(struct vm *vm, const u8 id[VMGENID_BYTES], char *why)
{
	char name[EVENT_STRING_MAX];
	enum hv_error err = HV_ENO_ENTROPY;

	if (memcmp(vm->genid->id, id, VMGENID_BYTES))
		err = vmgenid_update(vm->genid, id);
	if (err) {
		vm_fail(vm, "the new id can't be written: %s", hv_error_text(err));
		snprintf(why, SNAPSHOT_WHY_MAX,
			 "%s was restored, but its new id can't be written: %s; it must not run "
			 "with the old one, restore it again",
			 vm->config.name, hv_error_text(err));
		return err;
	}
	vmgenid_notify_guest(vm->genid);
	event("genid", "\"vm\":%s,\"reason\":\"restore\"", event_string(name, vm->config.name));
	return HV_OK;
}

static void expect_entry(const struct vm *vm, const struct snapshot *s, enum restore_intent intent,
			 u64 started)
{
	struct restored *place = NULL;

	for (u32 i = 0; i < CONFIG_VM_MAX; i++) {
		bool same = !strcmp(restored[i].vm, vm->config.name);

		if (same || (!place && !restored[i].vm[0]))
			place = &restored[i];
		if (same)
			break;
	}
	if (!place)
		return;
	*place = (struct restored){.intent = intent, .started = started};
	memcpy(place->vm, vm->config.name, sizeof(place->vm));
	memcpy(place->snapshot, s->name, sizeof(place->snapshot));
}

enum hv_error snapshot_restore(struct snapshot *s, enum restore_intent intent, bool paused,
			       u64 started, char *why)
{
	struct vm *vm = vm_find(s->config.name);
	bool running, stays, new_id = intent_wants_new_id(intent);
	u8 id[VMGENID_BYTES];
	enum hv_error err = HV_OK;

	if (!vm) {
		snprintf(why, SNAPSHOT_WHY_MAX, "the VM %s of snapshot %s is gone; start it again",
			 s->config.name, s->name);
		return HV_ENOT_FOUND;
	}
	if (new_id)
		err = draw_id(vm, id, why);
	if (!err)
		err = fill_pool(why);
	if (err)
		return err;

	running = vm->state == VM_RUNNING;
	stays = paused || vm->state == VM_PAUSED;
	vm_pause(vm);
	err = replace(vm, s, why);
	if (err) {
		if (running)
			vm_resume(vm);
		return err;
	}
	if (new_id)
		err = renew_id(vm, id, why);
	if (err)
		return err;
	if (vm->console_input && vm->console.in_head != vm->console.in_tail)
		vm->console_input(vm->console_input_ctx);
	expect_entry(vm, s, intent, started);
	if (!stays)
		vm_resume(vm);
	return HV_OK;
}

void snapshot_poll(void)
{
	give_back();
	for (u32 i = 0; i < CONFIG_VM_MAX; i++) {
		char name[EVENT_STRING_MAX], snapshot[EVENT_STRING_MAX];
		struct restored *r = &restored[i];
		const struct vm *vm;

		if (!r->vm[0])
			continue;
		vm = vm_find(r->vm);
		if (vm && !vm->first_entry_counter)
			continue;
		if (vm)
			event("restored",
			      "\"vm\":%s,\"snapshot\":%s,\"intent\":\"%s\",\"new_id\":%s,"
			      "\"counter\":%llu",
			      event_string(name, r->vm), event_string(snapshot, r->snapshot),
			      intent_text(r->intent),
			      intent_wants_new_id(r->intent) ? "true" : "false",
			      (unsigned long long)(vm->first_entry_counter - r->started));
		r->vm[0] = 0;
	}
}
