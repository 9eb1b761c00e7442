/* SPDX-License-Identifier: MIT */
#include <devices/vmgenid.h>
#include <internal/arch.h>
#include <internal/event.h>
#include <internal/host.h>
#include <internal/pager.h>
#include <internal/pool.h>
#include <internal/snapshot.h>
#include <internal/volume.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

/* Pages that a snapshot, and a restore with a new id, take of the pool at most, and then some. */
#define POOL_PAGES 16

static struct snapshot *snapshots;
/* What the VM held that was restored last, until snapshot_poll(); root is NULL without any. */
static struct mem_image given_up;

static void give_back(void)
{
	if (given_up.root)
		mem_image_fini(&given_up);
}

/* ---- the table ---- */

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

static struct snapshot *alloc_snapshot(const char *name)
{
	struct snapshot *s = host_alloc_pages((u32)pages_of(sizeof(*s)));

	if (s)
		memcpy(s->name, name, strlen(name) + 1);
	return s;
}

static void free_snapshot(struct snapshot *s)
{
	mem_image_fini(&s->image);
	host_free_pages(s->records, (u32)pages_of(s->records_length));
	host_free_pages(s, (u32)pages_of(sizeof(*s)));
}

static void link_snapshot(struct snapshot *s)
{
	struct snapshot **link = &snapshots;

	while (*link)
		link = &(*link)->next;
	*link = s;
}

static void unlink_snapshot(struct snapshot *s)
{
	struct snapshot **link = &snapshots;

	while (*link != s)
		link = &(*link)->next;
	*link = s->next;
}

static void found(void *ctx, const char *name, const struct store_header *header, enum hv_error err,
		  const char *why)
{
	struct snapshot *s = alloc_snapshot(name);

	(void)ctx;
	if (!s) {
		log_error("no memory to list the snapshot %s", name);
		return;
	}
	s->stored = true;
	if (err) {
		snprintf(s->damage, sizeof(s->damage), "%s", why);
	} else {
		memcpy(s->id, header->id, sizeof(s->id));
		memcpy(s->parent.id, header->parent, sizeof(s->parent.id));
		memcpy(s->parent.name, header->parent_name, sizeof(s->parent.name));
		memcpy(s->config.name, header->vm, sizeof(s->config.name));
		memcpy(s->arch, header->arch, sizeof(s->arch));
		s->wall = header->wall;
		s->pages = header->page_count;
		s->bytes = header->length;
	}
	link_snapshot(s);
}

void snapshot_init(const char *folder)
{
	enum hv_error err;

	volume_init(folder);
	err = volume_list(found, NULL);
	if (err)
		log_warn("the snapshots in %s can't be listed: %s", folder, hv_error_text(err));
}

void snapshot_fini(void)
{
	give_back();
	while (snapshots) {
		struct snapshot *s = snapshots;

		unlink_snapshot(s);
		free_snapshot(s);
	}
}

/* VMs that still need the files of the snapshot @name do without them from now on. */
static enum hv_error complete_users(const char *name, snapshot_progress *progress, char *why)
{
	enum hv_error err = HV_OK;

	for (struct vm *vm = vm_first(); !err && vm; vm = vm->next)
		if (pager_uses(vm, name))
			err = pager_complete(vm, progress, why);
	return err;
}

enum hv_error snapshot_delete(struct snapshot *s, char *why)
{
	enum hv_error err = complete_users(s->name, NULL, why);

	if (!err && s->stored)
		err = volume_delete(s->name, why);
	if (err)
		return err;
	unlink_snapshot(s);
	free_snapshot(s);
	return HV_OK;
}

/* ---- taking ---- */

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

/* The names of files don't tell a from A, so those of snapshots must differ in more. */
static const struct snapshot *same_file(const char *name)
{
	const struct snapshot *s = snapshots;

	while (s && strcasecmp(s->name, name))
		s = s->next;
	return s;
}

static enum hv_error may_take(const struct vm *vm, const char *name, u32 how, char *why)
{
	const struct snapshot *same = same_file(name);

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
	if (same && (!(how & SNAPSHOT_REPLACE) || strcmp(same->name, name))) {
		snprintf(why, SNAPSHOT_WHY_MAX,
			 "there is a snapshot %s already; say --replace, `delete %s`, or choose "
			 "another name",
			 same->name, same->name);
		return HV_EEXISTS;
	}
	if (same && same->stored && (how & SNAPSHOT_MEMORY)) {
		snprintf(why, SNAPSHOT_WHY_MAX,
			 "%s is on the volume and would come back with the next start; leave "
			 "--memory out, or choose another name",
			 name);
		return HV_EEXISTS;
	}
	return HV_OK;
}

static enum hv_error freeze(struct vm *vm, struct snapshot *s, char *why)
{
	bool running = vm->state == VM_RUNNING;
	enum hv_error err;

	vm_pause(vm);
	s->pages = vm->mem.private_pages;
	records_save(vm->records, vm->record_count, s->records);
	err = mem_freeze(&vm->mem, &s->image);
	flush(vm);
	if (running)
		vm_resume(vm);
	if (err)
		snprintf(why, SNAPSHOT_WHY_MAX,
			 "the memory of %s can't be frozen: %s; delete a "
			 "snapshot or end another VM",
			 vm->config.name, hv_error_text(err));
	return err;
}

/* A snapshot that nobody knows of yet, of a VM as it is. */
static enum hv_error begin(struct vm *vm, const char *name, struct snapshot **out, char *why)
{
	size_t length = records_size(vm->records, vm->record_count);
	struct snapshot *s = alloc_snapshot(name);
	enum hv_error err;

	if (s)
		s->records = host_alloc_pages((u32)pages_of(length));
	if (!s || !s->records) {
		snprintf(why, SNAPSHOT_WHY_MAX, "no memory for the state of %s; delete a snapshot",
			 vm->config.name);
		if (s)
			free_snapshot(s);
		return HV_ENO_MEMORY;
	}
	s->records_length = length;
	s->config = vm->config;
	s->parent = vm->lineage;
	snprintf(s->arch, sizeof(s->arch), "%s", arch_name());
	s->wall = host_wall_clock();
	err = rng_fill(&vm->rng, s->id, sizeof(s->id));
	if (err)
		snprintf(why, SNAPSHOT_WHY_MAX, "no id for the snapshot: %s; try again later",
			 hv_error_text(err));
	else
		err = freeze(vm, s, why);
	if (err) {
		free_snapshot(s);
		return err;
	}
	*out = s;
	return HV_OK;
}

enum hv_error snapshot_take(struct vm *vm, const char *name, u32 how, snapshot_progress *progress,
			    struct snapshot **out, char *why)
{
	u64 started = arch_counter();
	enum hv_error err = may_take(vm, name, how, why);
	struct snapshot *s, *before;

	if (!err)
		err = complete_users(name, progress, why);
	/* What is not there can't be frozen. */
	if (!err)
		err = pager_complete(vm, progress, why);
	if (!err)
		err = fill_pool(why);
	if (!err)
		err = begin(vm, name, &s, why);
	if (err)
		return err;
	s->ns = muldiv_u64(arch_counter() - started, NS_PER_SEC, arch_counter_hz());
	if (!(how & SNAPSHOT_MEMORY))
		err = stored_write(s, progress, why);
	if (err) {
		free_snapshot(s);
		return err;
	}
	before = snapshot_find(name);
	if (before) {
		unlink_snapshot(before);
		free_snapshot(before);
	}
	link_snapshot(s);
	memcpy(vm->lineage.id, s->id, sizeof(vm->lineage.id));
	memcpy(vm->lineage.name, s->name, sizeof(vm->lineage.name));
	*out = s;
	return HV_OK;
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

/* What a VM is put back to: an image, or one without pages and what brings them. */
struct memory {
	struct mem_image image;
	struct pager *pager;
};

/*
 * Records, then memory: the first that can't be replaced leaves everything as it was. @lazy is NULL
 * when the image of @s is all of it; its pager is the VM's afterwards.
 */
static enum hv_error replace(struct vm *vm, const struct snapshot *s, struct memory *lazy,
			     char *why)
{
	struct records_index index;
	enum hv_error err = records_parse(vm->records, vm->record_count, s->records,
					  s->records_length, &index, why);

	if (!err)
		err = records_check(vm->records, vm->record_count, &index, why);
	if (err)
		return err;
	give_back();
	err = mem_attach(&vm->mem, lazy ? &lazy->image : &s->image, &given_up);
	if (err) {
		snprintf(why, SNAPSHOT_WHY_MAX,
			 "no memory for a layer over the snapshot: %s; "
			 "delete a snapshot or end another VM",
			 hv_error_text(err));
		return err;
	}
	if (lazy) {
		pager_attach(lazy->pager, vm, s->name);
		lazy->pager = NULL;
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

/* What a reset would start is the snapshot's, too; the name is the VM's own. */
static void take_over(struct vm *vm, const struct snapshot *s)
{
	struct vm_config *config = &vm->config;

	memcpy(config->kernel, s->config.kernel, sizeof(config->kernel));
	memcpy(config->initrd, s->config.initrd, sizeof(config->initrd));
	memcpy(config->cmdline, s->config.cmdline, sizeof(config->cmdline));
	memcpy(vm->lineage.id, s->id, sizeof(vm->lineage.id));
	memcpy(vm->lineage.name, s->name, sizeof(vm->lineage.name));
}

/* @vm has the shape of @s, whose memory is there. */
static enum hv_error put_back(struct vm *vm, const struct snapshot *s,
			      const struct restore_request *request, struct memory *lazy,
			      bool new_id, const u8 id[VMGENID_BYTES], char *why)
{
	bool running = vm->state == VM_RUNNING;
	bool stays = request->paused || vm->state == VM_PAUSED;
	enum hv_error err;

	vm_pause(vm);
	err = replace(vm, s, lazy, why);
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
	take_over(vm, s);
	vm->restore = (struct vm_restore){
		.waits = true, .intent = request->intent, .started = request->started};
	if (!stays)
		vm_resume(vm);
	return HV_OK;
}

/* Whether the machine of @vm is one that @s was taken of. */
static enum hv_error check_shape(const struct vm *vm, const struct snapshot *s, char *why)
{
	const struct vm_config *is = &vm->config, *was = &s->config;

	if (is->memory == was->memory && is->vcpus == was->vcpus && is->testdev == was->testdev)
		return HV_OK;
	snprintf(why, SNAPSHOT_WHY_MAX,
		 "%s is another machine (%llu MiB, %u vcpus) than the one in snapshot %s (%llu "
		 "MiB, %u vcpus); `end %s` makes room for it",
		 is->name, (unsigned long long)(is->memory >> 20), is->vcpus, s->name,
		 (unsigned long long)(was->memory >> 20), was->vcpus, is->name);
	return HV_EBUSY;
}

/* A VM @name for @s, with nothing in it. */
static enum hv_error make_vm(const struct snapshot *s, const char *name, struct vm **vm, char *why)
{
	struct vm_config config = s->config;
	enum hv_error err;

	snprintf(config.name, sizeof(config.name), "%s", name);
	err = vm_create_blank(&config, vm);
	if (err)
		snprintf(why, SNAPSHOT_WHY_MAX, "the VM %s can't be made: %s; `log` says more",
			 name, hv_error_text(err));
	return err;
}

static enum hv_error restore_lazily(struct vm *vm, struct snapshot *s,
				    const struct restore_request *request, bool new_id,
				    const u8 id[VMGENID_BYTES], char *why)
{
	struct memory lazy;
	enum hv_error err = stored_open(s, vm, &lazy.image, &lazy.pager, why);

	if (err)
		return err;
	err = fill_pool(why);
	if (!err)
		err = put_back(vm, s, request, &lazy, new_id, id, why);
	mem_image_fini(&lazy.image);
	if (lazy.pager)
		pager_close(lazy.pager);
	return err;
}

static enum hv_error restore_into(struct vm *vm, struct snapshot *s,
				  const struct restore_request *request, char *why)
{
	bool new_id = intent_wants_new_id(request->intent);
	u8 id[VMGENID_BYTES];
	enum hv_error err = check_shape(vm, s, why);

	if (!err && new_id)
		err = draw_id(vm, id, why);
	if (err)
		return err;
	if (!s->image.root && request->lazy)
		return restore_lazily(vm, s, request, new_id, id, why);
	if (!s->image.root)
		err = stored_load(s, vm, request->progress, why);
	if (!err)
		err = fill_pool(why);
	return err ? err : put_back(vm, s, request, NULL, new_id, id, why);
}

enum hv_error snapshot_restore(struct snapshot *s, const struct restore_request *request,
			       struct vm **out, char *why)
{
	const char *name = request->vm ? request->vm : s->config.name;
	enum hv_error err = HV_OK;
	bool made = false;
	struct vm *vm;

	if (!s->image.root)
		err = stored_read_config(s, why);
	if (err)
		return err;
	vm = vm_find(name);
	if (!vm) {
		err = make_vm(s, name, &vm, why);
		if (err)
			return err;
		made = true;
		/* Those that are made begin paused, but that is not how it was left. */
		vm->state = VM_OFF;
	}
	err = restore_into(vm, s, request, why);
	/* One whose id could not be written stays, failed, to be looked at. */
	if (err && made && vm->state == VM_OFF)
		vm_destroy(vm);
	*out = vm;
	return err;
}

/* A name for a clone of @name: with the lowest number that no VM has. */
static void clone_name(char to[CONFIG_NAME_MAX], const char *name)
{
	u32 number = 0;

	do {
		char suffix[12];
		int length = snprintf(suffix, sizeof(suffix), "-%u", ++number);

		snprintf(to, CONFIG_NAME_MAX, "%.*s%s", CONFIG_NAME_MAX - 1 - length, name, suffix);
	} while (vm_find(to));
}

enum hv_error snapshot_clone(struct snapshot *s, const struct restore_request *request,
			     struct vm **out, char *why)
{
	struct restore_request clone = *request;
	char name[CONFIG_NAME_MAX];
	enum hv_error err = HV_OK;

	if (!s->image.root)
		err = stored_read_config(s, why);
	if (err)
		return err;
	clone_name(name, s->config.name);
	clone.vm = name;
	clone.intent = INTENT_CLONE;
	return snapshot_restore(s, &clone, out, why);
}

void snapshot_poll(void)
{
	give_back();
	for (struct vm *vm = vm_first(); vm; vm = vm->next) {
		char name[EVENT_STRING_MAX], snapshot[EVENT_STRING_MAX];
		u64 ticks;

		pager_poll(vm);
		if (!vm->restore.waits || !vm->first_entry_counter)
			continue;
		vm->restore.waits = false;
		ticks = vm->first_entry_counter - vm->restore.started;
		event("restored",
		      "\"vm\":%s,\"snapshot\":%s,\"intent\":\"%s\",\"new_id\":%s,"
		      "\"counter\":%llu,\"ns\":%llu",
		      event_string(name, vm->config.name), event_string(snapshot, vm->lineage.name),
		      intent_text(vm->restore.intent),
		      intent_wants_new_id(vm->restore.intent) ? "true" : "false",
		      (unsigned long long)ticks,
		      (unsigned long long)muldiv_u64(ticks, NS_PER_SEC, arch_counter_hz()));
	}
}
