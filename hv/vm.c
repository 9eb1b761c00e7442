/* SPDX-License-Identifier: MIT */
#include <devices/vmgenid.h>
#include <internal/arch.h>
#include <internal/console.h>
#include <internal/event.h>
#include <internal/host.h>
#include <internal/pool.h>
#include <internal/sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct vm *vms;
static u64 ended; /* VMs that were destroyed */

struct vm *vm_first(void)
{
	return vms;
}

struct vm *vm_find(const char *name)
{
	for (struct vm *vm = vms; vm; vm = vm->next)
		if (!strcmp(vm->config.name, name))
			return vm;
	return NULL;
}

const struct vm *vm_with_id(const struct vm *vm, const u8 id[VMGENID_BYTES])
{
	const struct vm *other = vms;

	while (other &&
	       (other == vm || !other->genid || memcmp(other->genid->id, id, VMGENID_BYTES)))
		other = other->next;
	return other;
}

const char *vm_state_text(enum vm_state state)
{
	static const char *const texts[] = {
#define VM_STATE_TEXT(name, text) [VM_##name] = text,
		VM_STATES(VM_STATE_TEXT)
#undef VM_STATE_TEXT
	};

	return texts[state];
}

/* How long the counter's rate is good for the machine's time: 100 ppm are a third of a second. */
#define WALL_SECONDS ((u64)3600)
/* In the year 2220: a clock that is later is wrong, and nanoseconds until then fit. */
#define WALL_MAX ((u64)7900000000)

/*
 * The machine's time in nanoseconds since 1970 (UTC); without a clock, since the machine was
 * switched on. The firmware takes its time to say it, more than all else in a restore.
 */
static u64 wall_now(void)
{
	static u64 wall, counter; /* the one when the other was */
	u64 now = arch_counter(), hz = arch_counter_hz();

	if (!wall || now - counter >= WALL_SECONDS * hz) {
		u64 seconds = host_wall_clock();

		if (seconds && seconds < WALL_MAX) {
			wall = seconds * NS_PER_SEC;
			counter = now;
		}
	}
	return wall + muldiv_u64(now - counter, NS_PER_SEC, hz);
}

static void time_start(struct vm *vm)
{
	if (vm->time_runs)
		return;
	vm->counter_offset = vm->counter_frozen - arch_counter();
	vm->time_runs = true;
	vm->clock.wall = (s64)wall_now() - (s64)clock_now(&vm->clock);
}

static void time_stop(struct vm *vm)
{
	if (!vm->time_runs)
		return;
	vm->counter_frozen = vm_counter(vm);
	vm->time_runs = false;
}

/* ---- who runs ---- */

/*
 * What vm_runs() says has changed, or may have. Virtual CPUs that run are told to leave, and are
 * frozen then; the last one stops the guest's time, which no other may see go back.
 */
static void freeze_or_thaw(struct vm *vm)
{
	bool runs = vm_runs(vm);

	if (runs)
		time_start(vm);
	for (u32 i = 0; i < vm->vcpu_count; i++) {
		struct vcpu *vcpu = &vm->vcpus[i];

		if (runs && vcpu->state == VCPU_FROZEN) {
			vcpu_set_state(vcpu, vcpu->next_state);
			if (vcpu->state != VCPU_IDLE)
				sched_wake(vcpu);
		} else if (!runs && vcpu->state == VCPU_RUNNING) {
			vcpu_post(vcpu, PENDING_LEAVE);
		} else if (!runs && vcpu->state != VCPU_FROZEN) {
			vcpu->next_state = vcpu->state;
			vcpu_set_state(vcpu, VCPU_FROZEN);
		}
	}
	if (!runs && !vm->on_cpu)
		time_stop(vm);
}

static void state_set(struct vm *vm, enum vm_state state)
{
	if (vm->state == state)
		return;
	vm->state = state;
	vm->state_changed = true;
	freeze_or_thaw(vm);
}

void vm_vcpu_enters(struct vcpu *vcpu)
{
	struct vm *vm = vcpu->vm;

	vcpu_set_state(vcpu, VCPU_RUNNING);
	vcpu->next_state = VCPU_RUNNABLE;
	vm->on_cpu++;
	if (!vm->first_entry_counter)
		vm->first_entry_counter = arch_counter();
}

void vm_vcpu_left(struct vcpu *vcpu)
{
	struct vm *vm = vcpu->vm;

	vm->on_cpu--;
	if (vm_runs(vm)) {
		vcpu_set_state(vcpu, vcpu->next_state);
		return;
	}
	vcpu_set_state(vcpu, VCPU_FROZEN);
	if (!vm->on_cpu)
		time_stop(vm);
}

/* Longer than any processor can be busy with one exit, however slow the machine is. */
#define SETTLE_SECONDS 60

void vm_settle(struct vm *vm)
{
	u64 begin = arch_counter();
	bool runs;

	do {
		vm_lock(vm);
		runs = vm->on_cpu && !vm_runs(vm);
		vm_unlock(vm);
		if (runs && arch_counter() - begin > SETTLE_SECONDS * arch_counter_hz())
			panic("a processor that runs a vCPU of %s doesn't answer", vm->config.name);
		if (runs)
			cpu_relax();
	} while (runs);
}

void vm_hold(struct vm *vm)
{
	vm_lock(vm);
	vm->holds++;
	freeze_or_thaw(vm);
	vm_unlock(vm);
	vm_settle(vm);
}

void vm_release(struct vm *vm)
{
	vm_lock(vm);
	vm->holds--;
	freeze_or_thaw(vm);
	vm_unlock(vm);
}

/*
 * Of the guest's memory: see mem.h. Those that are on their way out or in look at the bit before
 * they are in the guest again; the others are waited for, which takes them no lock.
 */
static void invalidate(struct mem *mem)
{
	struct vm *vm = container_of(mem, struct vm, mem);

	for (u32 i = 0; i < vm->vcpu_count; i++)
		vcpu_post(&vm->vcpus[i], PENDING_FLUSH);
	for (u32 i = 0; i < vm->vcpu_count; i++)
		while (__atomic_load_n(&vm->vcpus[i].in_guest, __ATOMIC_SEQ_CST))
			cpu_relax();
}

/*
 * ---- time ----
 *
 * A guest's time is its counter at the rate that it was started with, for good: it is what the
 * guest was told, what its timers were computed with, and with another one its past would have
 * another length. On a machine where the counter is a little faster or slower, so is the guest's
 * time.
 */

/*
 * How far the rates may be apart, parts per million: what a guest's NTP can make up for (Linux,
 * include/linux/timex.h: MAXFREQ).
 */
#define RATE_PPM_MAX ((u64)500)
/* Far from where nanoseconds don't fit in 64 bits any more. */
#define AGE_SECONDS_MAX ((u64)100 * 366 * 86400)

u64 vm_counter(const struct vm *vm)
{
	return vm->time_runs ? arch_counter() + vm->counter_offset : vm->counter_frozen;
}

u64 vm_deadline(const struct vm *vm, u64 counter)
{
	u64 hz = vm->time.counter_hz;
	unsigned __int128 ns = ((unsigned __int128)counter * NS_PER_SEC + hz - 1) / hz;

	return ns < CLOCK_NEVER ? (u64)ns : CLOCK_NEVER - 1;
}

static u64 time_now(void *ctx)
{
	const struct vm *vm = ctx;

	return muldiv_u64(vm_counter(vm), NS_PER_SEC, vm->time.counter_hz);
}

static void time_before_save(void *obj)
{
	struct vm *vm = container_of(obj, struct vm, time);

	vm->time.counter = vm_counter(vm);
}

static void time_after_load(void *obj)
{
	struct vm *vm = container_of(obj, struct vm, time);

	vm->counter_frozen = vm->time.counter;
	vm->counter_offset = vm->time.counter - arch_counter();
}

static enum hv_error time_check(const void *obj, const char **why)
{
	static char text[128];
	const struct vm_time *time = obj;
	u64 ours = arch_counter_hz(), its = time->counter_hz;

	/* None is less than ours by all of it. */
	if ((its > ours ? its - ours : ours - its) > muldiv_u64(ours, RATE_PPM_MAX, 1000000)) {
		snprintf(text, sizeof(text),
			 "the guest's counter ran at %llu kHz, this machine's runs at %llu kHz; "
			 "they may differ by %u ppm",
			 (unsigned long long)its / 1000, (unsigned long long)ours / 1000,
			 (unsigned)RATE_PPM_MAX);
		*why = text;
		return HV_EUNSUPPORTED;
	}
	if (time->counter / its > AGE_SECONDS_MAX) {
		*why = "the guest has run for more than 100 years";
		return HV_EINVALID;
	}
	return HV_OK;
}

#define VM_TIME_FIELDS(SAVED, TRANSIENT)                                                           \
	SAVED(struct vm_time, counter)                                                             \
	SAVED(struct vm_time, counter_hz)

STATE_DEFINE(vm_time_state, "time", 1, struct vm_time, VM_TIME_FIELDS, .check = time_check,
	     .before_save = time_before_save, .after_load = time_after_load);

/* ---- what devices are handed ---- */

static enum hv_error device_read(void *ctx, gpa_t from, void *buf, size_t length)
{
	struct vm *vm = ctx;

	return mem_read(&vm->mem, from, buf, length);
}

static enum hv_error device_write(void *ctx, gpa_t to, const void *buf, size_t length)
{
	struct vm *vm = ctx;

	return mem_write(&vm->mem, to, buf, length);
}

/* Writing has done it: mem_write() makes visible what it writes. */
static void device_clean(void *ctx, gpa_t from, size_t length)
{
	(void)ctx;
	(void)from;
	(void)length;
}

static enum hv_error draw(void *ctx, void *buf, size_t length)
{
	(void)ctx;
	return host_entropy(buf, length);
}

void vm_record_add(struct vm *vm, const struct state_desc *desc, void *obj, u32 instance)
{
	HV_ASSERT(vm->record_count < VM_RECORD_MAX);
	vm->records[vm->record_count++] =
		(struct vm_record){.desc = desc, .obj = obj, .instance = instance};
}

/* ---- making and ending ---- */

static void unlink_vm(struct vm *vm)
{
	for (struct vm **link = &vms; *link; link = &(*link)->next) {
		if (*link == vm) {
			*link = vm->next;
			return;
		}
	}
}

u64 vm_ended(void)
{
	return ended;
}

/* Of a VM and its virtual CPUs. */
static u32 vm_pages(u32 vcpus)
{
	return (u32)pages_of(sizeof(struct vm) + vcpus * sizeof(struct vcpu));
}

void vm_destroy(struct vm *vm)
{
	ended++;
	vm_hold(vm);
	sched_remove(vm);
	unlink_vm(vm);
	console_forget_vm(vm);
	arch_vm_fini(vm);
	for (u32 i = 0; i < vm->vcpu_count; i++)
		arch_vcpu_fini(&vm->vcpus[i]);
	mem_fini(&vm->mem);
	host_free_pages(vm, vm_pages(vm->config.vcpus));
}

/* An address is memory or a device's, never both: the exit loop asks for either first. */
static void check_layout(const struct vm *vm)
{
	for (u32 i = 0; i < vm->io.count[IO_MMIO]; i++) {
		const struct io_region *region = &vm->io.regions[IO_MMIO][i];

		for (u32 j = 0; j < vm->mem.slot_count; j++) {
			const struct mem_slot *slot = &vm->mem.slots[j];

			HV_ASSERT(slot->base - region->base >= region->length &&
				  region->base - slot->base >= slot->length);
		}
	}
}

/* All of the guest's memory, before any of it is used. */
static enum hv_error reserve_memory(const struct vm_config *config)
{
	enum hv_error err = pool_reserve(config->memory);

	if (err)
		log_error(
			"%s: memory = %lluM, but the machine has only %llu MiB left: give it less "
			"in anew.conf",
			config->name, (unsigned long long)(config->memory >> 20),
			(unsigned long long)((host_memory_free() + pool_free_pages() * PAGE_SIZE) >>
					     20));
	return err;
}

/* @boot: it needs memory of its own. */
static enum hv_error build(struct vm *vm, bool boot)
{
	enum hv_error err = HV_OK;

	if (boot)
		err = mem_init(&vm->mem, arch_stage2_format(), &machine_pool);
	else
		mem_init_blank(&vm->mem, arch_stage2_format(), &machine_pool);
	if (err)
		return err;
	vm->mem.invalidate = invalidate;
	for (u32 i = 0; i < vm->config.vcpus; i++) {
		vm->vcpus[i].vm = vm;
		vm->vcpus[i].index = i;
		vcpu_init_exits(&vm->vcpus[i]);
		vm->vcpus[i].state = VCPU_FROZEN;
		vm->vcpus[i].next_state = VCPU_IDLE;
		err = arch_vcpu_init(&vm->vcpus[i]);
		if (err)
			return err;
		vm->vcpu_count++;
	}
	err = arch_vm_init(vm);
	if (err)
		return err;
	check_layout(vm);
	sched_add(vm);
	return HV_OK;
}

/* A VM that nothing is built of yet, at the end of the list. */
static enum hv_error alloc_vm(const struct vm_config *config, const char *name, struct vm **out)
{
	struct vm **link;
	struct vm *vm;

	vm = host_alloc_pages(vm_pages(config->vcpus));
	if (!vm) {
		log_error("%s: no memory for the VM's own state", name);
		return HV_ENO_MEMORY;
	}
	vm->config = *config;
	/* Zeros behind it: a snapshot's record wants them. */
	memset(vm->config.name, 0, sizeof(vm->config.name));
	memcpy(vm->config.name, name, strlen(name));
	vm->lock = (struct lock)LOCK_INIT(VM);
	vm->vcpus = (struct vcpu *)(vm + 1);
	vm->state = VM_PAUSED;
	vm->time.counter_hz = arch_counter_hz();
	vm->clock = (struct clock){.now = time_now, .ctx = vm};
	vm->rng = (struct rng){.fill = draw};
	vm->guest_mem = (struct guest_mem){
		.read = device_read, .write = device_write, .clean = device_clean, .ctx = vm};
	io_bus_init(&vm->io);
	console_init_vm(vm);
	/* First, so that time is in place when the devices' timers are loaded. */
	vm_record_add(vm, &vm_time_state, &vm->time, 0);
	for (link = &vms; *link; link = &(*link)->next)
		;
	*link = vm;
	*out = vm;
	return HV_OK;
}

/* For the tables of one that has nothing in it yet. */
static enum hv_error reserve_tables(const char *name)
{
	enum hv_error err = pool_reserve(0);

	if (err)
		log_error("%s: no guest memory is left, not even for an empty VM: end another one",
			  name);
	return err;
}

static enum hv_error create(const struct vm_config *config, const char *name, bool boot,
			    struct vm **out)
{
	struct vm *vm;
	enum hv_error err = alloc_vm(config, name, &vm);

	if (err)
		return err;
	err = boot ? reserve_memory(config) : reserve_tables(name);
	if (!err)
		err = build(vm, boot);
	if (!err && boot)
		err = arch_vm_reset(vm);
	if (err) {
		log_error("%s: not started: %s", name, hv_error_text(err));
		vm_destroy(vm);
		return err;
	}
	*out = vm;
	return HV_OK;
}

enum hv_error vm_create(const struct vm_config *config, struct vm **out)
{
	if (vm_find(config->name)) {
		log_error("%s: there is a VM of that name already", config->name);
		return HV_EEXISTS;
	}
	return create(config, config->name, true, out);
}

enum hv_error vm_create_blank(const struct vm_config *config, const char *name, struct vm **out)
{
	return create(config, name, false, out);
}

void vm_pause(struct vm *vm)
{
	vm_lock(vm);
	if (vm->state == VM_RUNNING)
		state_set(vm, VM_PAUSED);
	vm_unlock(vm);
	vm_settle(vm);
}

void vm_resume(struct vm *vm)
{
	vm_lock(vm);
	if (vm->state == VM_PAUSED)
		state_set(vm, VM_RUNNING);
	vm_unlock(vm);
}

static void set_state_locked(struct vm *vm, enum vm_state state)
{
	vm_lock(vm);
	state_set(vm, state);
	vm_unlock(vm);
}

enum hv_error vm_reset(struct vm *vm)
{
	enum vm_state before = vm->state;
	enum hv_error err;

	set_state_locked(vm, VM_PAUSED);
	vm_settle(vm);
	vm->cause[0] = 0;
	vm->reset_wanted = false;
	vm->first_entry_counter = 0;
	vm->lineage = (struct lineage){0};
	vm->restore.waits = false;
	/* One that was restored may have next to nothing of its own. Perhaps less is enough. */
	if (pool_reserve(vm->config.memory -
			 min_u64(vm->config.memory, vm->mem.private_pages * PAGE_SIZE)))
		log_info("%s: there is less memory free than it may need", vm->config.name);
	err = arch_vm_reset(vm);
	/* Of memory that can't be read from the volume it has died already, in better words. */
	if (err && vm->state == VM_FAILED)
		return err;
	if (err) {
		vm_fail(vm, "can't be reset: %s", hv_error_text(err));
		return err;
	}
	if (before != VM_PAUSED)
		set_state_locked(vm, VM_RUNNING);
	return HV_OK;
}

/* ---- from any context ---- */

/* Whether nobody else can be at @vm: with its lock held, or frozen. */
static bool owned(const struct vm *vm)
{
	return __atomic_load_n(&vm->lock.held, __ATOMIC_RELAXED) || !vm->on_cpu;
}

void vm_fail(struct vm *vm, const char *format, ...)
{
	va_list args;

	HV_ASSERT(owned(vm));

	va_start(args, format);
	vsnprintf(vm->cause, sizeof(vm->cause), format, args);
	va_end(args);
	state_set(vm, VM_FAILED);
	log_limited(&vm->log_limit, LOG_INFO, "%s: failed: %s", vm->config.name, vm->cause);
}

void vm_power_off(struct vm *vm)
{
	HV_ASSERT(owned(vm));
	snprintf(vm->cause, sizeof(vm->cause), "powered off by the guest");
	state_set(vm, VM_OFF);
	log_limited(&vm->log_limit, LOG_INFO, "%s: powered off", vm->config.name);
}

void vm_end_test(struct vm *vm, u32 code)
{
	snprintf(vm->cause, sizeof(vm->cause), "test ended with code %u", (unsigned)code);
	state_set(vm, VM_OFF);
}

void vm_request_reset(struct vm *vm)
{
	HV_ASSERT(owned(vm));
	vm->reset_wanted = true;
	for (u32 i = 0; i < vm->vcpu_count; i++)
		if (vm->vcpus[i].state == VCPU_RUNNING)
			vcpu_post(&vm->vcpus[i], PENDING_LEAVE);
	sched_call_boot();
}

void vm_kick(struct vm *vm, u32 index)
{
	struct vcpu *vcpu = &vm->vcpus[index];

	vcpu_post(vcpu, PENDING_IRQ);
	if (vcpu->state == VCPU_HALTED)
		sched_wake(vcpu);
}
