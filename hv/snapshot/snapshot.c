/* SPDX-License-Identifier: MIT */
#include <devices/vmclock.h>
#include <devices/vmgenid.h>
#include <internal/arch.h>
#include <internal/console.h>
#include <internal/event.h>
#include <internal/host.h>
#include <internal/pager.h>
#include <internal/pool.h>
#include <internal/sched.h>
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
/* The one that is being restored: its image is needed. */
static const struct snapshot *in_hand;

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

/* What of @s is in memory, but for its entry in the table. */
static void forget(struct snapshot *s)
{
	mem_image_fini(&s->image);
	host_free_pages(s->records, (u32)pages_of(s->records_length));
	s->records = NULL;
	s->records_length = 0;
}

static void free_snapshot(struct snapshot *s)
{
	forget(s);
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

/* What the volume says of @s, which is not in memory. */
static void describe(struct snapshot *s, const struct store_header *header, enum hv_error err,
		     const char *why)
{
	s->stored = true;
	snprintf(s->damage, sizeof(s->damage), "%s", err ? why : "");
	memcpy(s->id, header->id, sizeof(s->id));
	memcpy(s->parent.id, header->parent, sizeof(s->parent.id));
	memcpy(s->parent.name, header->parent_name, sizeof(s->parent.name));
	memcpy(s->config.name, header->vm, sizeof(s->config.name));
	memcpy(s->arch, header->arch, sizeof(s->arch));
	s->wall = header->wall;
	s->pages = header->page_count;
	s->bytes = header->length;
}

static void found(void *ctx, const char *name, const struct store_header *header, enum hv_error err,
		  const char *why)
{
	struct snapshot *s = snapshot_find(name);

	(void)ctx;
	if (!s) {
		s = alloc_snapshot(name);
		if (!s) {
			log_error("no memory to list the snapshot %s", name);
			return;
		}
		link_snapshot(s);
	}
	s->seen = true;
	if (!s->image.root)
		describe(s, header, err, why);
	else
		s->stored = !err && !memcmp(s->id, header->id, sizeof(s->id));
}

void snapshot_scan(void)
{
	struct snapshot *next;
	enum hv_error err;

	for (struct snapshot *s = snapshots; s; s = s->next)
		s->seen = false;
	err = volume_list(found, NULL);
	if (err) {
		log_warn("the snapshots on the volume can't be listed: %s", hv_error_text(err));
		return;
	}
	for (struct snapshot *s = snapshots; s; s = next) {
		next = s->next;
		if (s->seen || !s->stored)
			continue;
		s->stored = false;
		if (s->image.root)
			continue;
		unlink_snapshot(s);
		free_snapshot(s);
	}
}

void snapshot_init(const char *folder)
{
	volume_init(folder);
	snapshot_scan();
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

bool snapshot_drop_image(void)
{
	for (struct snapshot *s = snapshots; s; s = s->next) {
		if (!s->stored || !s->image.root || s == in_hand)
			continue;
		log_info("snapshot %s is on the volume alone from now on: its memory is needed",
			 s->name);
		forget(s);
		return true;
	}
	return false;
}

/* VMs that still need the files of the snapshot @name do without them from now on. */
static enum hv_error complete_users(const char *name, snapshot_progress *progress, char *why)
{
	enum hv_error err = HV_OK;

	for (struct vm *vm = vm_first(); !err && vm; vm = vm->next) {
		bool failed = vm->state == VM_FAILED;

		if (pager_uses(vm, name))
			err = pager_complete(vm, progress, why);
		/* One that had failed before, perhaps because of them, is no reason to keep them.
		 */
		if (failed)
			err = HV_OK;
	}
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

static void set_lineage(struct vm *vm, const struct snapshot *s)
{
	memcpy(vm->lineage.id, s->id, sizeof(vm->lineage.id));
	memcpy(vm->lineage.name, s->name, sizeof(vm->lineage.name));
}

/* ---- taking ---- */

/* So that what is begun need not end halfway for want of memory. */
static enum hv_error fill_pool(char *why)
{
	enum hv_error err = pool_keep(POOL_PAGES);

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

	if (vm_is_over(vm)) {
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
	/* Now, as a guest may reboot while it is written, and then came from none. */
	set_lineage(vm, s);
	if (!(how & SNAPSHOT_MEMORY))
		err = stored_write(s, how & SNAPSHOT_REPLACE, progress, why);
	if (err) {
		if (!memcmp(vm->lineage.id, s->id, sizeof(s->id)))
			vm->lineage = s->parent;
		free_snapshot(s);
		return err;
	}
	before = snapshot_find(name);
	if (before) {
		unlink_snapshot(before);
		free_snapshot(before);
	}
	link_snapshot(s);
	*out = s;
	return HV_OK;
}

/* ---- restoring ---- */

/* What a restore gives the guest. */
struct renewal {
	const struct intent_effect *effect;
	u8 id[VMGENID_BYTES];
	struct vmclock_change clock;
};

/* Id, generation and marker, in one draw of what the generator makes at a time. */
static enum hv_error draw_id(struct vm *vm, struct renewal *renewal)
{
	static const u8 zero[VMGENID_BYTES];
	struct {
		u8 id[VMGENID_BYTES];
		u64 generation;
		u64 marker;
	} drawn;
	enum hv_error err = rng_fill(&vm->rng, &drawn, sizeof(drawn));

	if (err)
		return err;
	if (!memcmp(drawn.id, zero, sizeof(zero)) || !drawn.generation ||
	    !memcmp(drawn.id, vm->genid->id, sizeof(drawn.id)))
		return HV_ENO_ENTROPY;
	memcpy(renewal->id, drawn.id, sizeof(drawn.id));
	renewal->clock.generation = drawn.generation;
	renewal->clock.marker = drawn.marker;
	memset(&drawn, 0, sizeof(drawn));
	return HV_OK;
}

/* Drawn before anything is touched, so that a lack of entropy refuses the restore. */
static enum hv_error draw(struct vm *vm, enum restore_intent intent, struct renewal *renewal,
			  char *why)
{
	const struct intent_effect *effect = intent_effect(intent);
	enum hv_error err = HV_OK;

	*renewal = (struct renewal){.effect = effect, .clock.disrupted = effect->new_marker};
	if (effect->notify && (!vm->genid || !vm->vmclock)) {
		snprintf(why, SNAPSHOT_WHY_MAX,
			 "%s has no VMGenID and VMClock to be told by; only `resume` can do "
			 "without",
			 vm->config.name);
		return HV_EUNSUPPORTED;
	}
	/* With a new id comes a new generation: the table says so of every intent. */
	if (effect->new_id)
		err = draw_id(vm, renewal);
	if (err)
		snprintf(why, SNAPSHOT_WHY_MAX,
			 "no new id for %s: %s; nothing was changed, try again later",
			 vm->config.name, hv_error_text(err));
	return err;
}

/* The id that @vm would have by the records of @index is no other VM's. */
static enum hv_error check_id(const struct vm *vm, const struct snapshot *s,
			      const struct records_index *index, char *why)
{
	const struct vm *other = NULL;

	for (u32 i = 0; i < vm->record_count && !other; i++) {
		struct vmgenid loaded = {0};

		if (vm->records[i].desc != &vmgenid_state)
			continue;
		state_unpack(&vmgenid_state, &loaded, index->fields[i]);
		other = vm_with_id(vm, loaded.id);
	}
	if (!other)
		return HV_OK;
	snprintf(why, SNAPSHOT_WHY_MAX,
		 "%s has the id of snapshot %s already, and two VMs must not share it; choose an "
		 "intent with a new id",
		 other->config.name, s->name);
	return HV_EEXISTS;
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
			     const struct renewal *renewal, char *why)
{
	struct records_index index;
	enum hv_error err = records_parse(vm->records, vm->record_count, s->records,
					  s->records_length, &index, why);

	if (!err)
		err = records_check(vm->records, vm->record_count, &index, why);
	if (!err && !renewal->effect->new_id)
		err = check_id(vm, s, &index, why);
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
	return HV_OK;
}

/*
 * The interrupt controller is in place already. Both devices write and clean, and then each tells
 * the guest by its line.
 */
static enum hv_error renew(struct vm *vm, const struct renewal *renewal, char *why)
{
	const struct intent_effect *effect = renewal->effect;
	char name[EVENT_STRING_MAX];
	enum hv_error err = HV_OK;

	if (effect->new_id)
		err = memcmp(vm->genid->id, renewal->id, VMGENID_BYTES)
			      ? vmgenid_update(vm->genid, renewal->id)
			      : HV_ENO_ENTROPY;
	if (!err && (effect->new_marker || effect->new_generation))
		err = vmclock_update(vm->vmclock, &renewal->clock);
	if (err) {
		/* When the page could not be read from the volume, that has been said. */
		bool said = vm->state == VM_FAILED;

		snprintf(why, SNAPSHOT_WHY_MAX,
			 "%s was restored, but its new id can't be written: %.120s; it must not "
			 "run with the old one, restore it again",
			 vm->config.name, said ? vm->cause : hv_error_text(err));
		if (!said)
			vm_fail(vm, "the new id can't be written: %s", hv_error_text(err));
		return err;
	}
	event_string(name, vm->config.name);
	if (effect->notify & NOTIFY_VMGENID) {
		vmgenid_notify_guest(vm->genid);
		event("genid", "\"vm\":%s,\"reason\":\"restore\"", name);
	}
	if (effect->notify & NOTIFY_VMCLOCK) {
		vmclock_notify_guest(vm->vmclock);
		event("vmclock", "\"vm\":%s,\"reason\":\"restore\"", name);
	}
	return HV_OK;
}

/* What a reset would start is the snapshot's, too; the name is the VM's own. */
static void take_over(struct vm *vm, const struct snapshot *s)
{
	struct vm_config *config = &vm->config;

	memcpy(config->kernel, s->config.kernel, sizeof(config->kernel));
	memcpy(config->initrd, s->config.initrd, sizeof(config->initrd));
	memcpy(config->cmdline, s->config.cmdline, sizeof(config->cmdline));
}

/* What was typed and not read yet is there for the state that was put in its place. */
static void take_input(struct vm *vm)
{
	if (vm->console_input && vm->console.in_head != vm->console.in_tail)
		vm->console_input(vm->console_input_ctx);
}

/* @vm has the shape of @s, whose memory is there. */
static enum hv_error put_back(struct vm *vm, const struct snapshot *s,
			      const struct restore_request *request, struct memory *lazy,
			      const struct renewal *renewal, char *why)
{
	bool running = vm->state == VM_RUNNING;
	bool stays = request->paused || vm->state == VM_PAUSED;
	enum hv_error err;

	vm_pause(vm);
	err = replace(vm, s, lazy, renewal, why);
	if (err) {
		if (running)
			vm_resume(vm);
		return err;
	}
	err = renew(vm, renewal, why);
	if (err)
		return err;
	take_input(vm);
	set_lineage(vm, s);
	vm->restore = (struct vm_restore){
		.waits = true, .intent = request->intent, .started = request->started};
	memcpy(vm->restore.snapshot, s->name, sizeof(vm->restore.snapshot));
	if (!stays) {
		vm_resume(vm);
		sched_next(vm);
	}
	return HV_OK;
}

/* Whether the machine of @vm is one that @s could have been taken of. */
static bool has_shape(const struct vm *vm, const struct snapshot *s)
{
	const struct vm_config *is = &vm->config, *was = &s->config;

	return is->memory == was->memory && is->vcpus == was->vcpus && is->testdev == was->testdev;
}

/* A VM @name for @s, with nothing in it. */
static enum hv_error make_vm(const struct snapshot *s, const char *name, struct vm **vm, char *why)
{
	enum hv_error err = vm_create_blank(&s->config, name, vm);

	if (err)
		snprintf(why, SNAPSHOT_WHY_MAX, "the VM %s can't be made: %s; `log` says more",
			 name, hv_error_text(err));
	return err;
}

static enum hv_error restore_lazily(struct vm *vm, struct snapshot *s,
				    const struct restore_request *request,
				    const struct renewal *renewal, char *why)
{
	struct memory lazy;
	enum hv_error err = stored_open(s, vm, &lazy.image, &lazy.pager, why);

	if (err)
		return err;
	err = fill_pool(why);
	if (!err)
		err = put_back(vm, s, request, &lazy, renewal, why);
	mem_image_fini(&lazy.image);
	if (lazy.pager)
		pager_close(lazy.pager);
	return err;
}

static enum hv_error load_and_put_back(struct vm *vm, struct snapshot *s,
				       const struct restore_request *request, char *why)
{
	struct renewal renewal;
	enum hv_error err = draw(vm, request->intent, &renewal, why);

	if (err)
		return err;
	if (!s->image.root && request->lazy)
		return restore_lazily(vm, s, request, &renewal, why);
	if (!s->image.root)
		err = stored_load(s, vm, request->progress, why);
	if (!err)
		err = fill_pool(why);
	return err ? err : put_back(vm, s, request, NULL, &renewal, why);
}

static enum hv_error restore_into(struct vm *vm, struct snapshot *s,
				  const struct restore_request *request, char *why)
{
	enum hv_error err;

	in_hand = s;
	err = load_and_put_back(vm, s, request, why);
	in_hand = NULL;
	return err;
}

/* @vm has taken the place of @old, which may be NULL. */
static void end_old(struct vm *old, struct vm *vm)
{
	if (!old)
		return;
	console_hand_over(old, vm);
	vm_destroy(old);
	take_input(vm);
}

/*
 * Restores @s into a new VM @name, in the place of @old, which has another shape, or of none. On
 * failure there is @old as it was.
 */
static enum hv_error restore_anew(struct snapshot *s, const struct restore_request *request,
				  const char *name, struct vm *old, struct vm **out, char *why)
{
	char kept[CONFIG_NAME_MAX];
	enum hv_error err;
	struct vm *vm;

	/* No two VMs have the same name, not even for so long. */
	if (old) {
		memcpy(kept, old->config.name, sizeof(kept));
		name = kept;
		memset(old->config.name, 0, sizeof(old->config.name));
	}
	err = make_vm(s, name, &vm, why);
	if (!err) {
		/* Those that are made begin paused, but that is not how it was left. */
		vm->state = old && old->state == VM_PAUSED ? VM_PAUSED : VM_OFF;
		err = restore_into(vm, s, request, why);
		if (err)
			vm_destroy(vm);
	}
	if (!err) {
		end_old(old, vm);
		*out = vm;
	} else if (old) {
		memcpy(old->config.name, kept, sizeof(kept));
	}
	return err;
}

/* What the VM of @s is, is known. */
static enum hv_error restore(struct snapshot *s, const struct restore_request *request,
			     struct vm **out, char *why)
{
	const char *name = request->vm ? request->vm : s->config.name;
	struct vm *vm = vm_find(name);
	enum hv_error err;

	if (!vm || !has_shape(vm, s))
		return restore_anew(s, request, name, vm, out, why);
	*out = vm;
	err = restore_into(vm, s, request, why);
	if (!err)
		take_over(vm, s);
	return err;
}

static enum hv_error know_config(struct snapshot *s, char *why)
{
	return s->image.root ? HV_OK : stored_read_config(s, why);
}

enum hv_error snapshot_restore(struct snapshot *s, const struct restore_request *request,
			       struct vm **out, char *why)
{
	enum hv_error err = know_config(s, why);

	if (!err)
		err = restore(s, request, out, why);
	stored_done();
	return err;
}

/* A name for a clone of @s: with the lowest number that no VM has. */
static void clone_name(char to[CONFIG_NAME_MAX], struct snapshot *s)
{
	/* Those up to the last one's are taken, unless a VM has ended. */
	if (s->clones_when != vm_ended()) {
		s->clones_when = vm_ended();
		s->clones = 0;
	}
	do {
		/* -4294967295, from its end. snprintf() takes a thousand instructions. */
		char suffix[11];
		char *digit = suffix + sizeof(suffix);
		size_t at, length;

		s->clones++;
		for (u32 left = s->clones; left; left /= 10)
			*--digit = (char)('0' + left % 10);
		*--digit = '-';
		length = (size_t)(suffix + sizeof(suffix) - digit);
		at = strnlen(s->config.name, CONFIG_NAME_MAX - 1 - length);
		memcpy(to, s->config.name, at);
		memcpy(to + at, digit, length);
		to[at + length] = 0;
	} while (vm_find(to));
}

enum hv_error snapshot_clone(struct snapshot *s, const struct restore_request *request,
			     struct vm **out, char *why)
{
	struct restore_request clone = *request;
	enum hv_error err = know_config(s, why);
	char name[CONFIG_NAME_MAX];

	if (err)
		return err;
	clone_name(name, s);
	clone.intent = INTENT_CLONE;
	err = restore_anew(s, &clone, name, NULL, out, why);
	stored_done();
	return err;
}

void snapshot_poll(void)
{
	give_back();
	host_refill_pages();
	pool_prepare(&machine_pool);
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
		      event_string(name, vm->config.name),
		      event_string(snapshot, vm->restore.snapshot), intent_text(vm->restore.intent),
		      intent_wants_new_id(vm->restore.intent) ? "true" : "false",
		      (unsigned long long)ticks,
		      (unsigned long long)muldiv_u64(ticks, NS_PER_SEC, arch_counter_hz()));
	}
}
