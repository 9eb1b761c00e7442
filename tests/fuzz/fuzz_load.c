/* SPDX-License-Identifier: MIT */
/*
 * Any bytes as the files of a snapshot, from the listing to a VM that has all of its memory: a
 * refusal says why and changes nothing, and everything is given back at the end.
 *
 * The first byte says how it is restored and how the input is used: as the file itself, or as
 * changes to a good one, four bytes each (page, offset in it, value). Checksums are put right again
 * if asked for, as otherwise nothing would ever get past them.
 */
#include <internal/sched.h>

#include "../unit/stored_machine.h"
#include "../unit/store_memory.h"

/* Bits of the first byte. */
#define CHANGES 0x01
#define REPAIR  0x02
#define LENGTH  0x04 /* also of the header's length */
#define LAZY    0x08
#define OTHER   0x10 /* into a VM that is made for it */
#define NEW_ID  0x20
#define TWICE   0x40 /* again while it still comes */
#define CHECK   0x80 /* read whole before */

#define PATH  "snapshots/s~0.snap"
#define PAGES 5u
#define FIRST 4u /* pages of the file that aren't the guest's */

static u8 *good;
static u64 good_size;

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);

static void make_good(void)
{
	struct vm *vm = machine_make("one");
	char why[SNAPSHOT_WHY_MAX];
	struct snapshot *s;
	const u8 *bytes;

	for (u32 i = 0; i < PAGES; i++)
		machine_fill(vm, MACHINE_RAM2 + i * 3 * PAGE_SIZE, i);
	world_must(!snapshot_take(vm, "s", SNAPSHOT_STORED, NULL, &s, why));
	bytes = host_files_bytes(PATH, &good_size);
	good = malloc(good_size);
	world_must(bytes && good);
	memcpy(good, bytes, good_size);
}

/* Mostly where something is said: in the first halves of header, records and list of pages. */
static void change(struct store_memory *m, const u8 *data, size_t size)
{
	for (size_t i = 0; i + 4 <= size; i += 4) {
		u64 page = data[i] % (data[i] < 240 ? FIRST : good_size / PAGE_SIZE);
		u64 offset = (data[i + 1] | (u64)data[i + 2] << 8) % (PAGE_SIZE / 2);

		m->bytes[page * PAGE_SIZE + offset] = data[i + 3];
	}
}

static void put_file(u8 how, const u8 *data, size_t size)
{
	struct store_memory m;

	store_memory_init(&m, how & CHANGES ? good_size : size);
	m.io.size = m.room;
	memcpy(m.bytes, how & CHANGES ? good : data, m.room);
	if (how & CHANGES)
		change(&m, data, size);
	if (how & REPAIR)
		store_memory_repair(&m, how & LENGTH);
	host_files_put(PATH, m.bytes, m.io.size);
	store_memory_fini(&m);
}

/* Bounded, whatever the file says: each call brings at least a page of it. */
static void poll_to_the_end(struct vm *vm)
{
	u64 most;

	world_must(host_files_bytes(PATH, &most));
	while (vm->mem.source && vm->state != VM_FAILED) {
		world_must(most--);
		snapshot_poll();
	}
	world_must(vm->state != VM_FAILED || vm->cause[0]);
}

/* One try; `one` is as it was if it was refused. */
static void restore(struct snapshot *s, u8 how)
{
	const struct restore_request request = {
		.intent = how & NEW_ID ? INTENT_ROLLBACK : INTENT_RESUME,
		.lazy = how & LAZY,
		.vm = how & OTHER ? "two" : "one",
	};
	struct vm *one = vm_find("one"), *vm;
	const struct mem_source *source = one->mem.source;
	u32 loads = machine_of(one)->thing.loads;
	char why[SNAPSHOT_WHY_MAX] = "";
	enum hv_error err = snapshot_restore(s, &request, &vm, why);

	world_must(memchr(why, 0, sizeof(why)) && (!err || why[0]));
	if (!err)
		return;
	/* But for an id that could not be put into memory. */
	world_must(one->state == VM_FAILED ||
		   (one->state == VM_RUNNING && one->mem.source == source &&
		    machine_of(one)->thing.loads == loads));
	vm = vm_find("two");
	world_must(!vm || vm->state == VM_FAILED || how & TWICE);
}

static void use(u8 how)
{
	struct snapshot *s = snapshot_find("s");
	char why[SNAPSHOT_WHY_MAX] = "";

	world_must(s && !s->next);
	if (how & CHECK)
		world_must(!stored_check(s, NULL, why) || why[0]);
	restore(s, how);
	if (how & TWICE) {
		snapshot_poll();
		restore(s, how ^ NEW_ID);
	}
	for (struct vm *vm = vm_first(); vm; vm = vm->next)
		poll_to_the_end(vm);
	(void)sched_run_ready();
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	if (!size)
		return 0;
	if (!good) {
		world_begin();
		make_good();
		world_clear();
	}
	put_file(data[0], data + 1, size - 1);
	snapshot_init("snapshots");
	machine_make("one");
	use(data[0]);
	world_clear();
	return 0;
}
