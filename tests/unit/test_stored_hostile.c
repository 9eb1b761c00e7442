/* SPDX-License-Identifier: MIT */
/* Files of a snapshot that are damaged, or made to deceive: each is refused before it does harm. */
#include <stdio.h>

#include "stored_scene.h"

/* Refused in all ways, with @wanted in the reason. */
static void assert_refused(struct vm *vm, const char *wanted)
{
	snapshot_fini();
	snapshot_init("snapshots");
	for (u32 i = 0; i < ARRAY_COUNT(ways); i++) {
		assert_int_not_equal(restore_as(ways[i].vm, INTENT_ROLLBACK, ways[i].lazy), HV_OK);
		assert_says(wanted);
		assert_untouched(vm);
	}
}

/* A flipped bit anywhere is found before anything is touched; lazily, as far as that is read. */
static void assert_flip_refused(struct vm *vm, u64 bit, bool lazy)
{
	flip(bit);
	if (bit / 8 < PAGE_SIZE) {
		snapshot_fini();
		snapshot_init("snapshots");
	}
	if (restore_as("one", INTENT_ROLLBACK, lazy) != HV_ECORRUPT)
		fail_msg("bit %llu of byte %llu: %s", (unsigned long long)bit % 8,
			 (unsigned long long)bit / 8, why);
	assert_untouched(vm);
	flip(bit);
	if (bit / 8 < PAGE_SIZE) {
		snapshot_fini();
		snapshot_init("snapshots");
	}
}

/* Whether the byte is of what is said, and not of what fills a page up. */
static bool says_something(const struct store_header *header, u64 byte)
{
	u64 at = byte % PAGE_SIZE;

	switch (byte / PAGE_SIZE) {
	case 0:
		return at < offsetof(struct store_header, zero) ||
		       at >= offsetof(struct store_header, crc);
	case 1:
		return at < header->meta_length;
	case 2:
		return at < header->state_length;
	case 3:
		return at < offsetof(struct store_chunk, entries[header->page_count]);
	default:
		return false;
	}
}

/* All of header, records, and list of pages; of what fills up, and of the pages, some. */
static void test_every_bit_flipped(void **state)
{
	struct vm *vm = make_rebooted();
	struct store_header header;
	u64 size, step;
	const u8 *bytes = host_files_bytes(PATH, &size);

	(void)state;
	assert_non_null(bytes);
	memcpy(&header, bytes, sizeof(header));
	for (u64 bit = 0; bit < 8 * size; bit += step) {
		step = says_something(&header, bit / 8) ? 1 : 331;
		assert_flip_refused(vm, bit, bit / 8 < 4 * PAGE_SIZE && bit % 2);
	}
	assert_int_equal(restore(INTENT_ROLLBACK), HV_OK);
	assert_filled(vm, VERSION);
}

static void put_length(const u8 *bytes, u64 length)
{
	host_files_put(PATH, bytes, length);
	snapshot_fini();
	snapshot_init("snapshots");
}

static void test_every_length(void **state)
{
	struct vm *vm = make_rebooted();
	u64 size;
	u8 *now = host_files_bytes(PATH, &size);
	u8 *bytes = calloc(1, size + 2 * PAGE_SIZE);

	(void)state;
	assert_non_null(bytes);
	memcpy(bytes, now, size);
	for (u64 length = 0; length <= size + PAGE_SIZE;
	     length += length < PAGE_SIZE || (length + 1) % PAGE_SIZE < 2 ? 1 : PAGE_SIZE - 2) {
		if (length == size)
			continue;
		put_length(bytes, length);
		assert_int_equal(restore_as("one", INTENT_ROLLBACK, length % 2), HV_ECORRUPT);
		assert_untouched(vm);
	}
	put_length(bytes, size);
	assert_int_equal(restore(INTENT_ROLLBACK), HV_OK);
	free(bytes);
}

/* A file taken apart, to be put together otherwise. */
#define AREA_MAX  (2 * PAGE_SIZE)
#define PAGES_MAX 16u

struct area {
	u8 bytes[AREA_MAX];
	u32 length;
};

struct parts {
	struct store_header about;
	struct area meta, state;
	u32 count;
	u64 gpa[PAGES_MAX];
	u8 pages[PAGES_MAX][PAGE_SIZE];
};

static struct parts sound, parts;

static enum hv_error memory_read(void *ctx, u64 offset, void *buf, size_t length)
{
	memcpy(buf, (const u8 *)ctx + offset, length);
	return HV_OK;
}

static enum hv_error memory_write(void *ctx, u64 offset, const void *buf, size_t length)
{
	memcpy((u8 *)ctx + offset, buf, length);
	return HV_OK;
}

static enum hv_error memory_flush(void *ctx)
{
	(void)ctx;
	return HV_OK;
}

static enum hv_error add_page(void *ctx, gpa_t gpa, const void *page, char *reason)
{
	struct parts *p = ctx;

	(void)reason;
	memcpy(p->pages[p->count], page, PAGE_SIZE);
	p->gpa[p->count++] = gpa.v;
	return HV_OK;
}

static _Alignas(8) u8 buffer[STORE_CHUNK_BYTES];

static void take_apart(void)
{
	u64 size;
	u8 *bytes = host_files_bytes(PATH, &size);
	const struct store_io io = {.size = size, .read = memory_read, .ctx = bytes};
	struct store_reader reader;

	sound.count = 0;
	assert_int_equal(store_read_header(&io, &sound.about, why), HV_OK);
	sound.meta.length = sound.about.meta_length;
	sound.state.length = sound.about.state_length;
	assert_int_equal(store_read_area(&io, &sound.about, STORE_META, sound.meta.bytes, why),
			 HV_OK);
	assert_int_equal(store_read_area(&io, &sound.about, STORE_STATE, sound.state.bytes, why),
			 HV_OK);
	store_read_begin(&reader, &io, &sound.about);
	assert_int_equal(store_read_chunk(&reader, buffer, add_page, &sound, why), HV_OK);
	assert_int_equal(reader.pages_left, 0);
	parts = sound;
}

/* Writes what became of the parts, which then are sound again. */
static void put_together(void)
{
	static u8 bytes[64 * PAGE_SIZE];
	const struct store_io io = {
		.read = memory_read, .write = memory_write, .flush = memory_flush, .ctx = bytes};
	struct store_writer writer;

	assert_int_equal(store_write_begin(&writer, &io, buffer, &parts.about, parts.meta.bytes,
					   parts.meta.length, parts.state.bytes,
					   parts.state.length),
			 HV_OK);
	for (u32 i = 0; i < parts.count; i++)
		assert_int_equal(store_write_page(&writer, GPA(parts.gpa[i]), parts.pages[i]),
				 HV_OK);
	assert_int_equal(store_write_end(&writer), HV_OK);
	host_files_put(PATH, bytes, writer.header.length);
	parts = sound;
}

/* The record of @type in @area, and how long it is with its header. */
static u8 *record_of(struct area *area, const char *type, u32 *length)
{
	size_t offset = 0;

	while (offset < area->length) {
		u8 *at = area->bytes + offset;
		struct record_header header;
		const u8 *fields;

		assert_int_equal(
			records_next(area->bytes, area->length, &offset, &header, &fields, why),
			HV_OK);
		if (!strncmp(header.type, type, sizeof(header.type))) {
			*length = (u32)sizeof(header) + header.length;
			return at;
		}
	}
	fail();
	return NULL;
}

static void set_field(struct area *area, const char *type, u32 offset, const void *value,
		      size_t size)
{
	u32 length;
	u8 *record = record_of(area, type, &length);

	assert_true(sizeof(struct record_header) + offset + size <= length);
	memcpy(record + sizeof(struct record_header) + offset, value, size);
}

#define SET_HEADER(area, type, member, ...)                                                        \
	do {                                                                                       \
		u32 record_length;                                                                 \
		const __typeof__(((struct record_header *)0)->member) new_value = __VA_ARGS__;     \
                                                                                                   \
		memcpy(record_of(area, type, &record_length) +                                     \
			       offsetof(struct record_header, member),                             \
		       &new_value, sizeof(new_value));                                             \
	} while (0)

static void put_refused(struct vm *vm, const char *wanted)
{
	put_together();
	assert_refused(vm, wanted);
}

/* Twice, not at all, with another name, of another version, cut short. */
static void record_refused(struct vm *vm, struct area *area, const char *type)
{
	char wanted[80];
	u32 length;
	u8 *record = record_of(area, type, &length);

	snprintf(wanted, sizeof(wanted), "record %s.0: there are two of it", type);
	memcpy(area->bytes + area->length, record, length);
	area->length += length;
	put_refused(vm, wanted);

	snprintf(wanted, sizeof(wanted), "record %s.0: is missing", type);
	area->length -= length;
	memmove(record, record + length, (size_t)(area->bytes + area->length - record));
	put_refused(vm, wanted);

	SET_HEADER(area, type, instance, 9);
	snprintf(wanted, sizeof(wanted), "record %s.9: this VM has no such thing", type);
	put_refused(vm, wanted);

	SET_HEADER(area, type, version, 77);
	snprintf(wanted, sizeof(wanted), "record %s.0: is of version 77, this anew reads version",
		 type);
	put_refused(vm, wanted);

	SET_HEADER(area, type, length, UINT32_MAX);
	snprintf(wanted, sizeof(wanted), "record %s.0: is 4294967295 bytes", type);
	put_refused(vm, wanted);

	SET_HEADER(area, type, type[0], '\x1b');
	put_refused(vm, "record ?");
}

static struct vm *make_apart(void)
{
	struct vm *vm = make_rebooted();

	take_apart();
	/* What is put together again as it was is no other. */
	put_together();
	snapshot_fini();
	snapshot_init("snapshots");
	assert_int_equal(restore_as("two", INTENT_IMPORT, false), HV_OK);
	assert_filled(vm_find("two"), VERSION);
	vm_destroy(vm_find("two"));
	snapshot_fini();
	snapshot_init("snapshots");
	return vm;
}

static void test_hostile_records(void **state)
{
	static const u32 illegal = MACHINE_LEGAL;
	struct vm *vm = make_apart();

	(void)state;
	record_refused(vm, &parts.meta, "config");
	record_refused(vm, &parts.meta, "layout");
	record_refused(vm, &parts.state, "time");
	record_refused(vm, &parts.state, "thing");
	record_refused(vm, &parts.state, "vmgenid");
	parts.state.length -= 5;
	put_refused(vm, "record ");
	parts.meta.length = 0;
	put_refused(vm, "has no records");
	parts.state.length = 0;
	put_refused(vm, "has no records");
	set_field(&parts.state, "thing", 0, &illegal, sizeof(illegal));
	put_refused(vm, "record thing.0: the value is too large");
}

static void test_hostile_config(void **state)
{
	const u64 no_memory = 0, too_much = GIB(2048), big = MIB(8), huge = GIB(900),
		  odd = MIB(4) + 1;
	const u32 at_memory = CONFIG_NAME_MAX, at_vcpus = CONFIG_NAME_MAX + 8, vcpus = 77;
	const u32 at_testdev = at_vcpus + 4 + 2 * CONFIG_PATH_MAX + CONFIG_CMDLINE_MAX;
	const u8 no_bool = 2;
	char name[CONFIG_NAME_MAX];
	struct vm *vm = make_apart();

	(void)state;
	set_field(&parts.meta, "config", at_memory, &no_memory, 8);
	put_refused(vm, "record config.0: memory");
	set_field(&parts.meta, "config", at_memory, &too_much, 8);
	put_refused(vm, "record config.0: memory");
	set_field(&parts.meta, "config", at_memory, &odd, 8);
	put_refused(vm, "record config.0: memory");
	set_field(&parts.meta, "config", at_vcpus, &vcpus, 4);
	put_refused(vm, "record config.0: the VM has none or more virtual CPUs");
	set_field(&parts.meta, "config", at_testdev, &no_bool, 1);
	put_refused(vm, "record config.0: testdev");
	memset(name, 'a', sizeof(name));
	set_field(&parts.meta, "config", 0, name, sizeof(name));
	put_refused(vm, "record config.0: the VM's name is not a name");
	set_field(&parts.meta, "config", 0, "../one", 7);
	put_refused(vm, "record config.0: the VM's name is not a name");
	/* A name, but not the one that the snapshots are listed with. */
	set_field(&parts.meta, "config", 0, "other", 6);
	put_refused(vm, "record config.0: the VM is other, and one in the header");
	strcpy(parts.about.vm, "no name");
	put_refused(vm, "record config.0: the VM is one, and no name in the header");
	/* Legal in itself: another machine than the one that is there, or than its layout says. */
	set_field(&parts.meta, "config", at_memory, &big, 8);
	put_together();
	snapshot_fini();
	snapshot_init("snapshots");
	assert_int_equal(restore(INTENT_ROLLBACK), HV_EUNSUPPORTED);
	assert_untouched(vm);
	for (u32 lazy = 0; lazy < 2; lazy++) {
		assert_int_equal(restore_as("two", INTENT_IMPORT, lazy), HV_EUNSUPPORTED);
		assert_says("record layout.0: its memory lies elsewhere");
		assert_untouched(vm);
	}
	/* This one can't even be made, as memory would lie over memory. */
	set_field(&parts.meta, "config", at_memory, &huge, 8);
	put_together();
	snapshot_fini();
	snapshot_init("snapshots");
	assert_int_equal(restore_as("two", INTENT_IMPORT, false), HV_EEXISTS);
	assert_says("the VM two can't be made");
	assert_untouched(vm);
}

static void test_hostile_layout(void **state)
{
	const u32 slots = MEM_SLOT_MAX + 1, fewer = 2;
	const u64 elsewhere = MIB(512);
	struct vm *vm = make_apart();

	(void)state;
	set_field(&parts.meta, "layout", 0, &slots, 4);
	put_refused(vm, "record layout.0: there are more pieces of memory than any machine has");
	set_field(&parts.meta, "layout", 0, &fewer, 4);
	put_refused(vm, "record layout.0: its memory lies elsewhere");
	set_field(&parts.meta, "layout", 8, &elsewhere, 8);
	put_refused(vm, "record layout.0: its memory lies elsewhere");
	/* The other way round: the machine is another now. */
	put_together();
	vm_destroy(vm);
	machine_ram2_bytes += PAGE_SIZE;
	vm = machine_make("one");
	fill(vm, LATER);
	assert_refused(vm, "record layout.0: its memory lies elsewhere");
}

static void test_pages_outside_of_memory(void **state)
{
	static const u64 outside[] = {MIB(4), MIB(900), GIB(2), GIB(5), BIT(48) - PAGE_SIZE};
	struct vm *vm = make_apart();

	(void)state;
	for (u32 i = 0; i < ARRAY_COUNT(outside); i++) {
		u32 at = 0;

		while (at < parts.count && parts.gpa[at] < outside[i])
			at++;
		memmove(&parts.gpa[at + 1], &parts.gpa[at], (parts.count - at) * sizeof(u64));
		parts.gpa[at] = outside[i];
		machine_pattern(parts.pages[parts.count++], outside[i], VERSION);
		put_refused(vm, "no memory of the guest is there");
	}
}

static void test_other_architecture(void **state)
{
	struct vm *vm = make_apart();

	(void)state;
	strcpy(parts.about.arch, "other");
	put_refused(vm, "snapshot s was taken on other, and this machine is fake");
}

static void test_other_files_than_were_listed(void **state)
{
	struct vm *vm = make_apart();

	(void)state;
	parts.about.id[0] ^= 1;
	put_together();
	for (u32 i = 0; i < ARRAY_COUNT(ways); i++) {
		assert_int_equal(restore_as(ways[i].vm, INTENT_ROLLBACK, ways[i].lazy),
				 HV_ECORRUPT);
		assert_says("are others than when anew started");
		assert_untouched(vm);
	}
	assert_int_equal(host_file_delete(PATH), HV_OK);
	for (u32 i = 0; i < ARRAY_COUNT(ways); i++) {
		assert_int_equal(restore_as(ways[i].vm, INTENT_ROLLBACK, ways[i].lazy),
				 HV_ENOT_FOUND);
		assert_says("there is no snapshot s in snapshots");
		assert_untouched(vm);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		STORED_TEST(test_every_bit_flipped),
		STORED_TEST(test_every_length),
		STORED_TEST(test_hostile_records),
		STORED_TEST(test_hostile_config),
		STORED_TEST(test_hostile_layout),
		STORED_TEST(test_pages_outside_of_memory),
		STORED_TEST(test_other_architecture),
		STORED_TEST(test_other_files_than_were_listed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
