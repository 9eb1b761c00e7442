/* SPDX-License-Identifier: MIT */
/*
 * Stands in for what is below and beside console, monitor and snapshots: a host whose console is
 * two buffers, VMs that only have a state, memory that is one small array for each VM.
 */
#ifndef VM_DOUBLES_H
#define VM_DOUBLES_H

#include <devices/vmclock.h>
#include <devices/vmgenid.h>
#include <internal/arch.h>
#include <internal/console.h>
#include <internal/host.h>
#include <internal/pager.h>
#include <internal/pool.h>
#include <internal/sched.h>
#include <internal/snapshot.h>
#include <internal/vm.h>
#include <internal/volume.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host_pages.h"

#define DOUBLE_MEMORY  8192
#define DOUBLE_ADDRESS 16   /* of the id, in that memory */
#define DOUBLE_CLOCK   4096 /* of VMClock's page */

/* ---- host ---- */

static char double_out[1 << 18]; /* what was shown, ended by 0 */
static size_t double_out_length;
static u8 double_in[4096];
static size_t double_in_head, double_in_tail;
static u64 double_counter;
static bool double_no_entropy;
static bool double_no_memory;
static bool double_broken_volume;
static u8 double_entropy; /* the next byte */

/* All that was shown and what only waits for it, since the last double_clear_output(). */
static inline const char *double_shown(void)
{
	console_push();
	return double_out;
}

static inline void double_clear_output(void)
{
	console_push();
	double_out_length = 0;
	double_out[0] = 0;
}

static inline void double_type(const char *text)
{
	while (*text)
		double_in[double_in_head++ % sizeof(double_in)] = (u8)*text++;
}

void host_console_write(const u8 *buf, size_t length)
{
	if (length >= sizeof(double_out) - double_out_length)
		abort();
	memcpy(double_out + double_out_length, buf, length);
	double_out_length += length;
	double_out[double_out_length] = 0;
}

size_t host_console_read(u8 *buf, size_t length)
{
	size_t got = 0;

	while (got < length && double_in_tail != double_in_head)
		buf[got++] = double_in[double_in_tail++ % sizeof(double_in)];
	return got;
}

u64 host_wall_clock(void)
{
	return 1000 + double_counter;
}

u64 host_memory_taken(void)
{
	return MIB(3);
}

u64 sched_slept(void)
{
	return 4000;
}

/* Who is to run next. */
static struct vm *double_next __attribute__((unused));

void sched_next(struct vm *vm)
{
	double_next = vm;
}

u64 arch_counter(void)
{
	return ++double_counter;
}

u64 arch_counter_hz(void)
{
	return 1000000;
}

size_t arch_vcpu_describe(struct vcpu *vcpu, char *buf, size_t length)
{
	(void)vcpu;
	return (size_t)snprintf(buf, length, "pc 1234\nsp 5678\n");
}

/* ---- VMs ---- */

struct double_state {
	u32 value;
	u8 flag;
	u8 pad[3];
	u64 loads; /* calls of after_load */
};

struct double_vm {
	struct vm vm;
	struct vcpu vcpu;
	struct vmgenid genid;
	struct vmclock vmclock;
	struct double_state state;
	u8 memory[DOUBLE_MEMORY] __attribute__((aligned(8)));
	u32 edges; /* on the line of the id */
	bool id_before_edge;
	u32 clock_edges; /* on VMClock's line */
	bool clock_before_edge;
};

static struct double_vm double_vms[8];
static u32 double_made; /* how many of them there are or were */
static struct vm *double_first;

static enum hv_error double_check(const void *obj, const char **why)
{
	const struct double_state *state = obj;

	if (state->flag <= 1)
		return HV_OK;
	*why = "flag is neither 0 nor 1";
	return HV_EINVALID;
}

static void double_after_load(void *obj)
{
	((struct double_state *)obj)->loads++;
}

#define DOUBLE_FIELDS(SAVED, TRANSIENT)                                                            \
	SAVED(struct double_state, value)                                                          \
	SAVED(struct double_state, flag)                                                           \
	TRANSIENT(struct double_state, pad, "padding")                                             \
	TRANSIENT(struct double_state, loads, "of the test")

STATE_DEFINE(double_desc, "double", 3, struct double_state, DOUBLE_FIELDS, .check = double_check,
	     .after_load = double_after_load);

static enum hv_error double_read(void *ctx, gpa_t from, void *buf, size_t length)
{
	struct double_vm *d = ctx;

	memcpy(buf, d->memory + from.v, length);
	return HV_OK;
}

static enum hv_error double_write(void *ctx, gpa_t to, const void *buf, size_t length)
{
	struct double_vm *d = ctx;

	if (double_no_memory)
		return HV_ENO_MEMORY;
	memcpy(d->memory + to.v, buf, length);
	return HV_OK;
}

static void double_clean(void *ctx, gpa_t from, size_t length)
{
	(void)ctx;
	(void)from;
	(void)length;
}

static enum hv_error double_fill(void *ctx, void *buf, size_t length)
{
	(void)ctx;
	if (double_no_entropy)
		return HV_ENO_ENTROPY;
	for (size_t i = 0; i < length; i++)
		((u8 *)buf)[i] = ++double_entropy;
	return HV_OK;
}

static void double_line_set(void *ctx, u32 number, bool level)
{
	struct double_vm *d = ctx;

	(void)number;
	if (!level)
		return;
	d->edges++;
	d->id_before_edge = !memcmp(d->memory + DOUBLE_ADDRESS, d->genid.id, VMGENID_BYTES);
}

static void double_clock_line_set(void *ctx, u32 number, bool level)
{
	struct double_vm *d = ctx;
	const struct vmclock_page *page = (const void *)(d->memory + DOUBLE_CLOCK);

	(void)number;
	if (!level)
		return;
	d->clock_edges++;
	d->clock_before_edge = page->seq_count == d->vmclock.seq_count &&
			       page->disruption_marker == d->vmclock.marker &&
			       page->vm_generation_counter == d->vmclock.generation;
}

static const struct irq_chip double_chip = {.set = double_line_set};
static const struct irq_chip double_clock_chip = {.set = double_clock_line_set};

/* A VM that nothing was loaded into, at the end of the list. */
static inline struct double_vm *double_make(const char *name)
{
	struct double_vm *d = &double_vms[double_made++ % ARRAY_COUNT(double_vms)];
	struct vm *vm = &d->vm, **link = &double_first;

	memset(d, 0, sizeof(*d));
	strcpy(vm->config.name, name);
	vm->config.memory = MIB(64);
	vm->config.vcpus = 1;
	vm->state = VM_PAUSED;
	vm->vcpu_count = 1;
	vm->lock = (struct lock)LOCK_INIT(VM);
	vm->vcpus = &d->vcpu;
	d->vcpu.next_state = VCPU_RUNNABLE;
	vm->guest_mem = (struct guest_mem){
		.read = double_read, .write = double_write, .clean = double_clean, .ctx = d};
	vm->rng = (struct rng){.fill = double_fill};
	vm->genid = &d->genid;
	d->genid.mem = &vm->guest_mem;
	d->genid.rng = &vm->rng;
	d->genid.address = GPA(DOUBLE_ADDRESS);
	d->genid.line = (struct irq_line){.chip = &double_chip, .ctx = d};
	vm->vmclock = &d->vmclock;
	d->vmclock.mem = &vm->guest_mem;
	d->vmclock.rng = &vm->rng;
	d->vmclock.address = GPA(DOUBLE_CLOCK);
	d->vmclock.line = (struct irq_line){.chip = &double_clock_chip, .ctx = d};
	vm->mem.root = (u64 *)(void *)d->memory;
	vm->records[0] = (struct vm_record){.desc = &double_desc, .obj = &d->state};
	vm->records[1] = (struct vm_record){.desc = &vmgenid_state, .obj = &d->genid};
	vm->records[2] = (struct vm_record){.desc = &vmclock_state, .obj = &d->vmclock};
	vm->record_count = 3;
	while (*link)
		link = &(*link)->next;
	*link = vm;
	return d;
}

/* Begins anew with @count VMs `one` and `two`, running. */
static inline void double_reset(u32 count)
{
	static const char *const names[] = {"one", "two"};

	for (u32 i = 0; i < ARRAY_COUNT(double_vms); i++)
		console_forget_vm(&double_vms[i].vm);
	double_clear_output();
	double_in_head = double_in_tail = 0;
	double_no_entropy = double_no_memory = double_broken_volume = false;
	double_first = NULL;
	double_made = 0;
	for (u32 i = 0; i < count; i++) {
		struct double_vm *d = double_make(names[i]);

		d->vm.state = VM_RUNNING;
		if (vmgenid_rotate(&d->genid) || vmclock_activate(&d->vmclock))
			abort();
	}
}

struct vm *vm_first(void)
{
	return double_first;
}

struct vm *vm_find(const char *name)
{
	struct vm *vm;

	for (vm = double_first; vm; vm = vm->next)
		if (!strcmp(vm->config.name, name))
			break;
	return vm;
}

const struct vm *vm_with_id(const struct vm *vm, const u8 id[VMGENID_BYTES])
{
	const struct vm *other = double_first;

	while (other && (other == vm || memcmp(other->genid->id, id, VMGENID_BYTES)))
		other = other->next;
	return other;
}

void vm_hold(struct vm *vm)
{
	vm->holds++;
}

void vm_release(struct vm *vm)
{
	vm->holds--;
}

enum vcpu_state vcpu_rests(const struct vcpu *vcpu)
{
	return vcpu->next_state;
}

const char *vcpu_state_text(enum vcpu_state state)
{
	return state == VCPU_RUNNABLE ? "runnable" : "?";
}

void vm_pause(struct vm *vm)
{
	if (vm->state == VM_RUNNING)
		vm->state = VM_PAUSED;
}

void vm_resume(struct vm *vm)
{
	if (vm->state == VM_PAUSED)
		vm->state = VM_RUNNING;
}

enum hv_error vm_reset(struct vm *vm)
{
	if (vm->state != VM_PAUSED)
		vm->state = VM_RUNNING;
	return HV_OK;
}

void vm_fail(struct vm *vm, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(vm->cause, sizeof(vm->cause), format, args);
	va_end(args);
	vm->state = VM_FAILED;
}

const char *vm_state_text(enum vm_state state)
{
	static const char *const texts[] = {"running", "paused", "off", "failed"};

	return texts[state];
}

enum hv_error vm_create_blank(const struct vm_config *config, const char *name, struct vm **vm)
{
	(void)config;
	if (double_no_memory)
		return HV_ENO_MEMORY;
	*vm = &double_make(name)->vm;
	return HV_OK;
}

static u64 double_ended;

u64 vm_ended(void)
{
	return double_ended;
}

void vm_destroy(struct vm *vm)
{
	struct vm **link = &double_first;

	double_ended++;

	while (*link != vm)
		link = &(*link)->next;
	*link = vm->next;
	console_forget_vm(vm);
}

const char *arch_name(void)
{
	return "double";
}

/* ---- the volume, with room for what is under one name ---- */

static struct snapshot double_stored;
static u8 double_stored_records[256], double_stored_memory[DOUBLE_MEMORY];

void volume_init(const char *folder)
{
	(void)folder;
}

enum hv_error volume_list(volume_each *each, void *ctx)
{
	struct store_header header = {.length = double_stored.bytes};

	if (!double_stored.stored)
		return HV_OK;
	memcpy(header.id, double_stored.id, sizeof(header.id));
	memcpy(header.vm, double_stored.config.name, sizeof(header.vm));
	memcpy(header.parent_name, double_stored.parent.name, sizeof(header.parent_name));
	strcpy(header.arch, "double");
	each(ctx, double_stored.name, &header, double_broken_volume ? HV_ECORRUPT : HV_OK,
	     "half of it is missing");
	return HV_OK;
}

enum hv_error volume_delete(const char *name, char *why)
{
	if (double_broken_volume) {
		strcpy(why, "the volume is broken");
		return HV_EIO;
	}
	if (!strcmp(double_stored.name, name))
		double_stored.stored = false;
	return HV_OK;
}

enum hv_error stored_write(struct snapshot *s, bool replace, snapshot_progress *progress, char *why)
{
	(void)replace;
	if (double_broken_volume) {
		strcpy(why, "the volume is broken");
		return HV_EIO;
	}
	if (progress)
		progress("writing", 1, 2);
	s->stored = true;
	s->bytes = 12345;
	memcpy(double_stored_records, s->records, s->records_length);
	memcpy(double_stored_memory, s->image.root, DOUBLE_MEMORY);
	double_stored = *s;
	return HV_OK;
}

enum hv_error stored_read_config(struct snapshot *s, char *why)
{
	if (double_broken_volume) {
		strcpy(why, "the volume is broken");
		return HV_EIO;
	}
	s->config = double_stored.config;
	return HV_OK;
}

void stored_done(void)
{
}

enum hv_error stored_load(struct snapshot *s, const struct vm *vm, snapshot_progress *progress,
			  char *why)
{
	(void)vm;
	(void)progress;
	(void)why;
	s->records_length = double_stored.records_length;
	s->records = host_alloc_pages((u32)pages_of(s->records_length));
	memcpy(s->records, double_stored_records, s->records_length);
	s->image.root = malloc(DOUBLE_MEMORY);
	memcpy(s->image.root, double_stored_memory, DOUBLE_MEMORY);
	return HV_OK;
}

enum hv_error stored_check(struct snapshot *s, snapshot_progress *progress, char *why)
{
	(void)progress;
	if (s->stored && !double_broken_volume)
		return HV_OK;
	strcpy(why, "the volume is broken");
	return HV_ECORRUPT;
}

/* What comes lazily has come at once. */
enum hv_error stored_open(struct snapshot *s, const struct vm *vm, struct mem_image *image,
			  struct pager **pager, char *why)
{
	enum hv_error err = stored_load(s, vm, NULL, why);

	*image = s->image;
	s->image.root = NULL;
	*pager = NULL;
	return err;
}

void pager_attach(struct pager *pager, struct vm *vm, const char *name)
{
	(void)pager;
	(void)vm;
	(void)name;
}

void pager_close(struct pager *pager)
{
	(void)pager;
}

void pager_poll(struct vm *vm)
{
	(void)vm;
}

enum hv_error pager_complete(struct vm *vm, snapshot_progress *progress, char *why)
{
	(void)vm;
	(void)progress;
	(void)why;
	return HV_OK;
}

bool pager_uses(const struct vm *vm, const char *name)
{
	(void)vm;
	(void)name;
	return false;
}

/* ---- memory ---- */

struct pool machine_pool;

void *pool_get_page(struct pool *pool)
{
	(void)pool;
	return double_no_memory ? NULL : host_alloc_pages(1);
}

void pool_prepare(struct pool *pool)
{
	(void)pool;
}

void pool_put_page(struct pool *pool, void *ptr)
{
	(void)pool;
	free(ptr);
}

enum hv_error pool_refill(void)
{
	return double_no_memory ? HV_ENO_MEMORY : HV_OK;
}

enum hv_error mem_freeze(struct mem *mem, struct mem_image *image)
{
	if (double_no_memory)
		return HV_ENO_MEMORY;
	image->root = malloc(DOUBLE_MEMORY);
	if (!image->root)
		abort();
	memcpy(image->root, mem->root, DOUBLE_MEMORY);
	return HV_OK;
}

void mem_image_fini(struct mem_image *image)
{
	free(image->root);
	image->root = NULL;
}

enum hv_error mem_attach(struct mem *mem, const struct mem_image *image, struct mem_image *old)
{
	if (double_no_memory)
		return HV_ENO_MEMORY;
	*old = (struct mem_image){0};
	memcpy(mem->root, image->root, DOUBLE_MEMORY);
	return HV_OK;
}

#endif
