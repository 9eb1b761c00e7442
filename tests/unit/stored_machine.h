/* SPDX-License-Identifier: MIT */
/*
 * A host that counts what it gives and fails when told to, and VMs on arch/fake that have all that
 * a snapshot is made of: for tests of snapshots on a volume with nothing pretended in between.
 */
#ifndef TESTS_STORED_MACHINE_H
#define TESTS_STORED_MACHINE_H

#include <devices/vmclock.h>
#include <devices/vmgenid.h>
#include <internal/arch.h>
#include <internal/pager.h>
#include <internal/platform.h>
#include <internal/pool.h>
#include <internal/snapshot.h>
#include <stdlib.h>
#include <string.h>

#include "host_files.h"
#include "host_silent.h"

/* ---- the host ---- */

#define WORLD_PIECES 512
#define WORLD_BLOCKS 512u /* of 2 MiB, that the host has at first */

struct world_piece {
	void *ptr;
	u32 pages;
};

static struct world {
	u32 calls;   /* for pages and blocks, so far */
	u32 fail_at; /* the call that gets nothing, from 1; 0: none */
	u32 blocks;  /* that are left */
	bool no_entropy;
	u64 entropy; /* the generator's state */
	u32 idles;
	u32 piece_count;
	struct world_piece pieces[WORLD_PIECES];
} world;

bool host_context_firmware = true;

static inline void world_must(bool holds)
{
	if (!holds)
		abort();
}

static inline bool world_refuses(void)
{
	world_must(host_context_firmware);
	return ++world.calls == world.fail_at;
}

/* As firmware has it: no pages is an error. */
void *host_alloc_pages(u32 pages)
{
	struct world_piece *piece = &world.pieces[world.piece_count];

	if (world_refuses() || !pages)
		return NULL;
	world_must(world.piece_count < WORLD_PIECES);
	piece->ptr = aligned_alloc(PAGE_SIZE, pages * PAGE_SIZE);
	world_must(piece->ptr);
	memset(piece->ptr, 0, pages * PAGE_SIZE);
	piece->pages = pages;
	world.piece_count++;
	return piece->ptr;
}

void host_refill_pages(void)
{
}

void host_free_pages(void *ptr, u32 pages)
{
	u32 at = world.piece_count;

	world_must(host_context_firmware);
	if (!ptr)
		return;
	while (at && world.pieces[at - 1].ptr != ptr)
		at--;
	world_must(at && world.pieces[at - 1].pages == pages);
	world.pieces[at - 1] = world.pieces[--world.piece_count];
	free(ptr);
}

enum hv_error host_alloc_blocks(u32 blocks, hpa_t *base)
{
	void *ptr;

	if (world_refuses() || blocks > world.blocks)
		return HV_ENO_MEMORY;
	ptr = aligned_alloc(MIB(2), blocks * MIB(2));
	world_must(ptr);
	world.blocks -= blocks;
	*base = HPA((u64)(uintptr_t)ptr);
	return HV_OK;
}

u64 host_memory_free(void)
{
	return world.blocks * MIB(2);
}

u64 host_memory_taken(void)
{
	return 0;
}

/* Never the same twice. */
enum hv_error host_entropy(void *buf, size_t length)
{
	u8 *to = buf;

	world_must(host_context_firmware);
	if (world.no_entropy)
		return HV_ENO_ENTROPY;
	for (size_t i = 0; i < length; i++) {
		world.entropy = world.entropy * 6364136223846793005U + 1442695040888963407U;
		to[i] = (u8)(world.entropy >> 56);
	}
	return HV_OK;
}

u64 host_wall_clock(void)
{
	return 1700000000;
}

void host_idle(const u32 *kicked)
{
	(void)kicked;
	world.idles++;
	fake_machine.counter += 1000;
}

/* ---- the machines ---- */

#define MACHINE_RAM2   GIB(1)
#define MACHINE_DEVICE GIB(3)
/* Single pages of RAM that share no table but the root, which a test may want. */
#define MACHINE_FAR(i)  (GIB(512) * ((i) + 1))
#define MACHINE_FAR_MAX 12u
/* Pages of memory that the devices fill: VMGenID's and VMClock's. */
#define MACHINE_DEVICE_PAGES 2
#define MACHINE_LEGAL        1000u /* values of struct thing from here on are not */

/* What a device keeps. */
struct thing {
	u32 value;
	u32 loads;
};

struct machine {
	struct vmgenid genid;
	struct vmclock vmclock;
	struct thing thing;
	u32 edges;       /* on the line of the id */
	u32 clock_edges; /* and on VMClock's */
};

/* Of the second piece of RAM, that is a block and some pages. */
static u64 machine_ram2_bytes;
static u32 machine_more_ram; /* how many of the single pages there are */

static inline enum hv_error machine_thing_check(const void *obj, const char **why)
{
	const struct thing *thing = obj;

	if (thing->value < MACHINE_LEGAL)
		return HV_OK;
	*why = "the value is too large";
	return HV_EINVALID;
}

static inline void machine_thing_loaded(void *obj)
{
	((struct thing *)obj)->loads++;
}

#define MACHINE_THING_FIELDS(SAVED, TRANSIENT)                                                     \
	SAVED(struct thing, value)                                                                 \
	TRANSIENT(struct thing, loads, "counted by the test")

STATE_DEFINE(machine_thing_state, "thing", 3, struct thing, MACHINE_THING_FIELDS,
	     .check = machine_thing_check, .after_load = machine_thing_loaded);

static inline struct machine *machine_of(const struct vm *vm)
{
	return vm->arch.test;
}

static inline void machine_edge(void *ctx, u32 number, bool level)
{
	struct machine *machine = ctx;

	if (number == machine->vmclock.line_number)
		machine->clock_edges += level;
	else
		machine->edges += level;
}

static inline struct irq_line machine_line(struct vm *vm, u32 number)
{
	static const struct irq_chip chip = {.set = machine_edge};

	return (struct irq_line){.chip = &chip, .ctx = machine_of(vm), .number = number};
}

static inline enum hv_error machine_init(struct vm *vm)
{
	static const struct platform_map map = {.memory_base = MACHINE_DEVICE,
						.memory_end = MACHINE_DEVICE + MIB(1),
						.line_base = 5,
						.line_end = 7,
						.line = machine_line};
	struct machine *machine = calloc(1, sizeof(*machine));
	enum hv_error err;

	world_must(machine);
	vm->arch.test = machine;
	vcpu_become(&vm->vcpus[0], VCPU_RUNNABLE);
	platform_init(vm, &map);
	vm_record_add(vm, &machine_thing_state, &machine->thing, 0);
	err = mem_add(&vm->mem, GPA(MACHINE_RAM2), machine_ram2_bytes, MEM_RAM);
	for (u32 i = 0; !err && i < machine_more_ram; i++)
		err = mem_add(&vm->mem, GPA(MACHINE_FAR(i)), PAGE_SIZE, MEM_RAM);
	if (!err)
		err = platform_add_genid(vm, &machine->genid);
	return err ? err : platform_add_clock(vm, &machine->vmclock);
}

static inline void machine_fini(struct vm *vm)
{
	free(vm->arch.test);
}

static inline enum hv_error machine_reset(struct vm *vm)
{
	enum hv_error err = vmgenid_activate(&machine_of(vm)->genid);

	return err ? err : vmclock_activate(&machine_of(vm)->vmclock);
}

/* ---- all of it ---- */

static inline void world_begin(void)
{
	world = (struct world){.blocks = WORLD_BLOCKS};
	machine_ram2_bytes = MIB(2) + 3 * PAGE_SIZE;
	machine_more_ram = 0;
	fake_machine = (struct fake_machine){.counter = 1000,
					     .counter_hz = NS_PER_SEC,
					     .vm_init = machine_init,
					     .vm_fini = machine_fini,
					     .vm_reset = machine_reset,
					     .in_firmware = &host_context_firmware};
	host_files_reset();
	pool_init(&machine_pool);
	snapshot_init("snapshots");
}

/* Forgets everything that is not on the volume. All memory must be in the pool again. */
static inline void world_clear(void)
{
	while (vm_first())
		vm_destroy(vm_first());
	snapshot_fini();
	world_must(machine_pool.free_pages == machine_pool.total_pages);
	world_must(world.piece_count == machine_pool.extent_count && !host_files_open());
}

/* And gives the pool back to the host. */
static inline void world_off(void)
{
	world_clear();
	for (u32 i = 0; i < machine_pool.extent_count; i++) {
		const struct pool_extent *extent = &machine_pool.extents[i];

		world.blocks += extent->blocks;
		host_free_pages(extent->refs, (u32)pages_of(extent->blocks * 512 * sizeof(u32)));
		free((void *)(uintptr_t)extent->base);
	}
	pool_init(&machine_pool);
	world_must(!world.piece_count);
}

/* Power off, and on again; the snapshots on the volume are listed. */
static inline void world_reboot(void)
{
	world_off();
	host_files_reboot();
	snapshot_init("snapshots");
}

static inline void world_end(void)
{
	world_off();
	host_files_reset();
}

/* A VM of that name that runs, 4 MiB and the second piece of RAM. */
static inline struct vm *machine_make(const char *name)
{
	struct vm_config config = {.memory = MIB(4), .vcpus = 1, .kernel = "vmlinuz"};
	struct vm *vm;

	memcpy(config.name, name, strlen(name) + 1);
	world_must(!vm_create(&config, &vm) && !pool_reserve(MIB(16)));
	vm_resume(vm);
	return vm;
}

/* ---- what is in memory ---- */

/* Bytes that only a page at @gpa of @version has. */
static inline void machine_pattern(u8 page[PAGE_SIZE], u64 gpa, u32 version)
{
	u64 x = gpa + version;

	for (size_t i = 0; i < PAGE_SIZE; i++) {
		x = x * 6364136223846793005U + 1442695040888963407U;
		page[i] = (u8)(x >> 56);
	}
}

static inline void machine_fill(struct vm *vm, u64 gpa, u32 version)
{
	u8 page[PAGE_SIZE];

	machine_pattern(page, gpa, version);
	world_must(!mem_write(&vm->mem, GPA(gpa), page, PAGE_SIZE));
}

/* Whether the page is there now, without anything that would bring it. */
static inline bool machine_has(const struct vm *vm, u64 gpa)
{
	const struct mem_image image = {.format = vm->mem.format, .root = vm->mem.root};
	u64 at = gpa;

	return mem_image_next(&image, &at) && at == gpa;
}

static inline bool machine_is(struct vm *vm, u64 gpa, u32 version)
{
	u8 page[PAGE_SIZE], wanted[PAGE_SIZE];

	machine_pattern(wanted, gpa, version);
	return !mem_read(&vm->mem, GPA(gpa), page, PAGE_SIZE) && !memcmp(page, wanted, PAGE_SIZE);
}

/* Of all memory that the guest has, and of all that its devices keep. */
static inline u32 machine_crc(struct vm *vm)
{
	u8 page[PAGE_SIZE];
	u32 crc = crc32c(0, &machine_of(vm)->thing.value, sizeof(u32));

	world_must(!pool_reserve(MIB(16)));
	crc = crc32c(crc, machine_of(vm)->genid.id, VMGENID_BYTES);
	for (u32 i = 0; i < vm->mem.slot_count; i++) {
		const struct mem_slot *slot = &vm->mem.slots[i];

		for (u64 at = 0; at < slot->length; at += PAGE_SIZE) {
			world_must(!mem_read(&vm->mem, GPA(slot->base + at), page, PAGE_SIZE));
			crc = crc32c(crc, page, PAGE_SIZE);
		}
	}
	return crc;
}

#endif
