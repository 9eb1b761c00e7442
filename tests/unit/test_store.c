/* SPDX-License-Identifier: MIT */
/*
 * The format of snapshots. `test_store --golden FILE` writes the snapshot that tests/golden has of
 * this version of the format.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <internal/snapshot.h>
#include <stdio.h>

#include "store_memory.h"

#define GOLDEN "tests/golden/snapshot-1.snap"

static char why[STORE_WHY_MAX];
/* Of the writer or reader in use. */
static _Alignas(8) u8 buffer[STORE_CHUNK_BYTES];

static struct store_header about = {
	.arch = "x86_64",
	.name = "s1",
	.id = {0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18, 0x19, 0x1a, 0x1b, 0x1c, 0x1d,
	       0x1e, 0x1f},
	.parent = {0x20, 0x21},
	.parent_name = "base",
	.vm = "demo",
	.build = "golden",
	.generation = 3,
	.wall = 1700000000,
	.part_bytes = GIB(2),
};

/* ---- whole snapshots ---- */

/* What the page at @gpa has in these tests. */
static void fill_page(u8 *page, u64 gpa)
{
	u64 x = gpa + 1;

	for (size_t i = 0; i < PAGE_SIZE; i++) {
		x = x * 6364136223846793005U + 1442695040888963407U;
		page[i] = (u8)(x >> 56);
	}
}

static enum hv_error add_page(struct store_writer *writer, u64 gpa)
{
	u8 page[PAGE_SIZE];

	fill_page(page, gpa);
	return store_write_page(writer, GPA(gpa), page);
}

/* Every second page of memory that is not zeros has one of zeros behind it. */
static enum hv_error add_pages(struct store_writer *writer, u32 count)
{
	static const u8 zeros[PAGE_SIZE];
	enum hv_error err = HV_OK;

	for (u32 i = 0; !err && i < count; i++) {
		err = add_page(writer, i * 2 * PAGE_SIZE);
		if (!err && i % 2)
			err = store_write_page(writer, GPA((i * 2 + 1) * PAGE_SIZE), zeros);
	}
	return err;
}

/* @page_count pages and two areas of a page each. */
static enum hv_error write_into(struct store_memory *m, u32 page_count)
{
	struct store_writer writer;
	enum hv_error err =
		store_write_begin(&writer, &m->io, buffer, &about, "config", 6, "devices", 7);

	if (!err)
		err = add_pages(&writer, page_count);
	if (!err)
		err = store_write_end(&writer);
	if (!err)
		assert_memory_equal(&writer.header, m->bytes, sizeof(writer.header));
	return err;
}

/* Where chunk @number is in what write_into() wrote. */
static u64 chunk_at(u32 number)
{
	return 3 * PAGE_SIZE + number * STORE_CHUNK_BYTES;
}

static struct store_chunk *chunk_of(struct store_memory *m, u32 number)
{
	return (struct store_chunk *)(void *)(m->bytes + chunk_at(number));
}

static struct store_header *header_of(struct store_memory *m)
{
	return (struct store_header *)(void *)m->bytes;
}

static void make(struct store_memory *m, u32 page_count)
{
	store_memory_init(m, chunk_at(page_count / STORE_CHUNK_PAGES + 1));
	assert_int_equal(write_into(m, page_count), HV_OK);
}

struct taken {
	u32 pages;
	enum hv_error err; /* to return for the second page */
};

static enum hv_error take(void *ctx, gpa_t gpa, const void *page, char *reason)
{
	struct taken *taken = ctx;
	u8 expected[PAGE_SIZE];

	if (taken->pages == 1 && taken->err) {
		snprintf(reason, STORE_WHY_MAX, "not this one");
		return taken->err;
	}
	assert_int_equal(gpa.v, taken->pages * 2 * PAGE_SIZE);
	fill_page(expected, gpa.v);
	assert_memory_equal(page, expected, PAGE_SIZE);
	taken->pages++;
	return HV_OK;
}

/* Reads all of what write_into() wrote. */
static enum hv_error read_all(struct store_memory *m, struct taken *taken)
{
	static _Alignas(8) u8 area[PAGE_SIZE];
	struct store_header header;
	struct store_reader reader;
	enum hv_error err;

	*taken = (struct taken){.err = taken->err};
	why[0] = 0;
	err = store_read_header(&m->io, &header, why);
	if (!err)
		err = store_read_area(&m->io, &header, STORE_META, area, why);
	if (!err)
		assert_memory_equal(area, "config\0", 8);
	if (!err)
		err = store_read_area(&m->io, &header, STORE_STATE, area, why);
	if (!err)
		assert_memory_equal(area, "devices\0", 8);
	if (!err)
		store_read_begin(&reader, &m->io, &header);
	while (!err && reader.pages_left)
		err = store_read_chunk(&reader, buffer, take, taken, why);
	assert_int_equal(!err, !why[0]);
	return err;
}

/* It is refused, and the reason has @text in it. */
static void refused(struct store_memory *m, const char *text)
{
	struct taken taken = {0};

	assert_int_equal(read_all(m, &taken), HV_ECORRUPT);
	if (!strstr(why, text))
		fail_msg("\"%s\" is not in: %s", text, why);
}

static void test_round_trip(void **state)
{
	static const u32 counts[] = {0, 1, 254, 255, 256, 510, 600};

	(void)state;
	for (u32 i = 0; i < ARRAY_COUNT(counts); i++) {
		u32 chunks = (counts[i] + STORE_CHUNK_PAGES - 1) / STORE_CHUNK_PAGES;
		struct taken taken = {0};
		struct store_header header;
		struct store_memory m;

		make(&m, counts[i]);
		assert_int_equal(read_all(&m, &taken), HV_OK);
		assert_int_equal(taken.pages, counts[i]);
		assert_int_equal(m.io.size, (3 + counts[i] + chunks) * PAGE_SIZE);

		assert_int_equal(store_read_header(&m.io, &header, why), HV_OK);
		assert_memory_equal(header.magic, "ANEWSNAP", 8);
		assert_int_equal(header.version, 1);
		assert_int_equal(header.page_count, counts[i]);
		assert_int_equal(header.length, m.io.size);
		assert_string_equal(header.arch, about.arch);
		assert_string_equal(header.name, about.name);
		assert_string_equal(header.parent_name, about.parent_name);
		assert_string_equal(header.vm, about.vm);
		assert_string_equal(header.build, about.build);
		assert_memory_equal(header.id, about.id, STORE_ID);
		assert_memory_equal(header.parent, about.parent, STORE_ID);
		assert_int_equal(header.generation, about.generation);
		assert_int_equal(header.wall, about.wall);
		assert_int_equal(header.part_bytes, about.part_bytes);
		store_memory_fini(&m);
	}
}

static void test_areas(void **state)
{
	static const u32 lengths[] = {0, 1, PAGE_SIZE, PAGE_SIZE + 1, STORE_AREA_MAX};
	static _Alignas(8) u8 from[STORE_AREA_MAX], to[STORE_AREA_MAX];

	(void)state;
	memset(from, 0xa5, sizeof(from));
	for (u32 i = 0; i < ARRAY_COUNT(lengths); i++) {
		struct store_header header;
		struct store_writer writer;
		struct store_memory m;

		store_memory_init(&m, MIB(3));
		assert_int_equal(store_write_begin(&writer, &m.io, buffer, &about, from, lengths[i],
						   from, PAGE_SIZE + 2),
				 HV_OK);
		assert_int_equal(store_write_end(&writer), HV_OK);
		assert_int_equal(store_read_header(&m.io, &header, why), HV_OK);
		assert_int_equal(store_area_size(&header, STORE_META),
				 ALIGN_UP(lengths[i], PAGE_SIZE));
		assert_int_equal(store_read_area(&m.io, &header, STORE_META, to, why), HV_OK);
		assert_memory_equal(to, from, lengths[i]);
		assert_int_equal(store_area_size(&header, STORE_STATE), 2 * PAGE_SIZE);
		assert_int_equal(store_read_area(&m.io, &header, STORE_STATE, to, why), HV_OK);
		assert_memory_equal(to, from, PAGE_SIZE + 2);
		store_memory_fini(&m);
	}
}

/* ---- what is not whole ---- */

static void test_every_truncation(void **state)
{
	struct store_memory whole;

	(void)state;
	make(&whole, 1);
	/* In memory of its exact size, so that reading on is seen. */
	for (u64 size = 0; size < whole.io.size; size++) {
		char missing[64];
		struct store_memory m;

		store_memory_init(&m, size);
		memcpy(m.bytes, whole.bytes, size);
		m.io.size = size;
		snprintf(missing, sizeof(missing), "the file ends at byte %llu, %llu bytes",
			 (unsigned long long)size,
			 (unsigned long long)((size < PAGE_SIZE ? PAGE_SIZE : whole.io.size) -
					      size));
		refused(&m, missing);
		store_memory_fini(&m);
	}
	store_memory_fini(&whole);
}

static void test_every_bit(void **state)
{
	struct store_memory m;
	struct taken taken = {0};

	(void)state;
	make(&m, 1);
	for (u64 bit = 0; bit < 8 * m.io.size; bit++) {
		m.bytes[bit / 8] ^= (u8)(1 << bit % 8);
		if (read_all(&m, &taken) != HV_ECORRUPT || taken.pages)
			fail_msg("bit %llu: %s", (unsigned long long)bit, why);
		m.bytes[bit / 8] ^= (u8)(1 << bit % 8);
	}
	assert_int_equal(read_all(&m, &taken), HV_OK);
	store_memory_fini(&m);
}

static void test_bytes_behind_the_end(void **state)
{
	struct store_memory m;

	(void)state;
	make(&m, 1);
	m.io.size++;
	refused(&m, "1 bytes behind the snapshot's end at byte 20480");
	store_memory_fini(&m);
}

/* What can be relied upon after a refusal, and that all else is zeros. */
static void test_header_after_refusal(void **state)
{
	static const struct store_header zeros;
	struct store_header header;
	struct store_memory m;

	(void)state;
	make(&m, 1);
	m.io.size--;
	assert_int_equal(store_read_header(&m.io, &header, why), HV_ECORRUPT);
	assert_string_equal(header.name, "s1");
	m.io.size++;

	header_of(&m)->version = 2;
	header_of(&m)->part_bytes = 1;
	memset(header_of(&m)->vm, 'x', sizeof(header.vm));
	store_memory_repair_header(&m);
	memset(&header, 0xee, sizeof(header));
	assert_int_equal(store_read_header(&m.io, &header, why), HV_EUNSUPPORTED);
	assert_string_equal(why, "it is of format version 2, this anew reads version 1");
	assert_memory_equal(header.magic, STORE_MAGIC, 8);
	assert_int_equal(header.version, 2);
	assert_string_equal(header.arch, "x86_64");
	assert_memory_equal(header.name, &zeros.name,
			    sizeof(header) - offsetof(struct store_header, name));

	/* Not even that much, if its architecture is no text. */
	header_of(&m)->arch[0] = '\n';
	store_memory_repair_header(&m);
	assert_int_equal(store_read_header(&m.io, &header, why), HV_ECORRUPT);
	assert_memory_equal(&header, &zeros, sizeof(header));
	store_memory_fini(&m);
}

struct lie {
	size_t offset;
	size_t size;
	u64 value;
	const char *why;
};

#define LIE(member, value, reason)                                                                 \
	{                                                                                          \
		offsetof(struct store_header, member), sizeof(((struct store_header *)0)->member), \
			value, reason                                                              \
	}

/* With good checksums: who wrote this meant harm, or was wrong. */
static void test_headers_that_lie(void **state)
{
	static const struct lie lies[] = {
		LIE(magic[0], 'a', "does not begin with ANEWSNAP"),
		LIE(magic[7], 0, "does not begin with ANEWSNAP"),
		LIE(version, 0, "version is 0"),
		LIE(header_bytes, 8192, "it has 8192 bytes, it has 4096"),
		LIE(arch[0], 0, "architecture"),
		LIE(arch[15], 'x', "architecture"),
		LIE(name[0], 0, "name"),
		LIE(name[3], 'x', "name"),
		LIE(name[1], 0x7f, "name"),
		LIE(name[1], 0x1b, "name"),
		LIE(name[1], 0xe4, "name"),
		LIE(parent_name[31], 1, "parent's name"),
		LIE(vm[0], 0, "VM's name"),
		LIE(build[31], '!', "build"),
		LIE(zero[0], 1, "where zeros must be"),
		LIE(zero[PAGE_SIZE - 253], 1, "where zeros must be"),
		LIE(length, 0, "says 0 bytes, what it lists has 20480"),
		LIE(length, 20479, "says 20479 bytes, what it lists has 20480"),
		LIE(length, UINT64_MAX, "what it lists has 20480"),
		LIE(part_bytes, 0, "each file has 0 bytes"),
		LIE(part_bytes, 4095, "each file has 4095 bytes"),
		LIE(page_count, 0, "what it lists has 12288"),
		LIE(page_count, 2, "what it lists has 24576"),
		LIE(page_count, BIT(36) + 1, "68719476737 pages, 68719476736 is the most"),
		LIE(page_count, BIT(36), "what it lists has"),
		/* So many that their bytes are as many as those of one. */
		LIE(page_count, BIT(52) + 1, "is the most"),
		LIE(page_count, UINT64_MAX, "is the most"),
		LIE(meta_length, 0, "what it lists has 16384"),
		LIE(meta_length, 4097, "what it lists has 24576"),
		LIE(meta_length, MIB(1) + 1, "1048577 and 7 bytes"),
		LIE(meta_length, UINT32_MAX, "4294967295 and 7 bytes"),
		LIE(state_length, UINT32_MAX, "6 and 4294967295 bytes"),
		/* Shorter by what is not zeros. */
		LIE(meta_length, 5, "meta records are not followed by zeros"),
		LIE(state_length, 6, "state records are not followed by zeros"),
	};

	(void)state;
	for (u32 i = 0; i < ARRAY_COUNT(lies); i++) {
		struct store_memory m;

		make(&m, 1);
		memcpy(m.bytes + lies[i].offset, &lies[i].value, lies[i].size);
		store_memory_repair_header(&m);
		refused(&m, lies[i].why);
		store_memory_fini(&m);
	}
}

static void test_no_id(void **state)
{
	struct store_memory m;

	(void)state;
	make(&m, 1);
	memset(header_of(&m)->id, 0, STORE_ID);
	store_memory_repair_header(&m);
	refused(&m, "the header has no id");
	store_memory_fini(&m);
}

static void test_no_header(void **state)
{
	struct store_memory m;

	(void)state;
	make(&m, 1);
	memset(m.bytes, 0, PAGE_SIZE);
	refused(&m, "it was not written to its end");
	store_memory_fini(&m);
}

/* ---- chunks ---- */

#define CHUNK_PAGES 260u /* in two chunks */

static void change_magic(struct store_memory *m)
{
	chunk_of(m, 1)->magic++;
}

static void change_number(struct store_memory *m)
{
	chunk_of(m, 1)->number = 7;
}

static void change_count(struct store_memory *m)
{
	chunk_of(m, 1)->count--;
}

static void change_count_of_full(struct store_memory *m)
{
	chunk_of(m, 0)->count = UINT32_MAX;
}

static void change_unused(struct store_memory *m)
{
	chunk_of(m, 1)->entries[STORE_CHUNK_PAGES - 1].zero = 1;
}

static void change_reserved(struct store_memory *m)
{
	chunk_of(m, 1)->entries[0].zero = 1;
}

static void change_unaligned(struct store_memory *m)
{
	chunk_of(m, 0)->entries[2].gpa++;
}

static void change_too_high(struct store_memory *m)
{
	chunk_of(m, 1)->entries[4].gpa = BIT(48);
}

static void change_highest(struct store_memory *m)
{
	chunk_of(m, 1)->entries[3].gpa = BIT(48) - PAGE_SIZE;
}

static void change_same(struct store_memory *m)
{
	chunk_of(m, 0)->entries[2].gpa = chunk_of(m, 0)->entries[1].gpa;
}

static void change_falling(struct store_memory *m)
{
	chunk_of(m, 0)->entries[3].gpa = 0;
}

static void change_same_across_chunks(struct store_memory *m)
{
	chunk_of(m, 1)->entries[0].gpa = chunk_of(m, 0)->entries[STORE_CHUNK_PAGES - 1].gpa;
}

static void change_to_zeros(struct store_memory *m)
{
	memset(m->bytes + chunk_at(1) + PAGE_SIZE, 0, PAGE_SIZE);
}

struct chunk_lie {
	void (*change)(struct store_memory *m);
	const char *why;
};

static void test_chunks_that_lie(void **state)
{
	static const struct chunk_lie lies[] = {
		{change_magic, "chunk 1: it does not begin as a chunk"},
		{change_number, "chunk 1: in its place is chunk 7"},
		{change_count, "chunk 1: it has 4 pages, must have 5"},
		{change_count_of_full, "chunk 0: it has 4294967295 pages, must have 255"},
		{change_unused, "chunk 1: entries behind its 5 pages are not zeros"},
		{change_reserved, "page at 1fe000h: its entry"},
		{change_unaligned, "chunk 0: 4001h is no address of a page"},
		{change_too_high, "chunk 1: 1000000000000h is no address of a page"},
		{change_highest, "chunk 1: page at 206000h comes after one at fffffffff000h"},
		{change_same, "chunk 0: page at 2000h comes after one at 2000h"},
		{change_falling, "chunk 0: page at 0h comes after one at 4000h"},
		{change_same_across_chunks, "chunk 1: page at 1fc000h comes after one at 1fc000h"},
		{change_to_zeros, "page at 1fe000h is all zeros"},
	};

	(void)state;
	for (u32 i = 0; i < ARRAY_COUNT(lies); i++) {
		struct store_memory m;

		make(&m, CHUNK_PAGES);
		lies[i].change(&m);
		store_memory_repair_chunk(&m, chunk_at(0), true);
		store_memory_repair_chunk(&m, chunk_at(1), true);
		refused(&m, lies[i].why);
		store_memory_fini(&m);
	}
}

/* The last page of the first chunk: none of that chunk has been handed over. */
static void test_chunk_is_checked_first(void **state)
{
	struct taken taken = {0};
	struct store_memory m;

	(void)state;
	make(&m, CHUNK_PAGES);
	m.bytes[chunk_at(1) - 1] ^= 1;
	assert_int_equal(read_all(&m, &taken), HV_ECORRUPT);
	assert_string_equal(why, "page at 1fc000h is damaged");
	assert_int_equal(taken.pages, 0);
	m.bytes[chunk_at(1) - 1] ^= 1;
	m.bytes[chunk_at(1)] ^= 1;
	assert_int_equal(read_all(&m, &taken), HV_ECORRUPT);
	assert_string_equal(why, "chunk 1 at byte 1060864: its list of pages is damaged");
	assert_int_equal(taken.pages, STORE_CHUNK_PAGES);
	store_memory_fini(&m);
}

static void test_chunks_in_other_places(void **state)
{
	struct store_memory m;

	(void)state;
	make(&m, 2 * STORE_CHUNK_PAGES);
	memcpy(buffer, m.bytes + chunk_at(0), STORE_CHUNK_BYTES);
	memcpy(m.bytes + chunk_at(0), m.bytes + chunk_at(1), STORE_CHUNK_BYTES);
	memcpy(m.bytes + chunk_at(1), buffer, STORE_CHUNK_BYTES);
	refused(&m, "chunk 0: in its place is chunk 1");
	store_memory_fini(&m);
}

/* The same VM, the same pages, but not the same snapshot. */
static void test_pieces_of_another_snapshot(void **state)
{
	struct store_memory m, other;

	(void)state;
	make(&m, CHUNK_PAGES);
	about.id[15]++;
	make(&other, CHUNK_PAGES);
	about.id[15]--;

	memcpy(m.bytes + chunk_at(1), other.bytes + chunk_at(1), 6 * PAGE_SIZE);
	refused(&m, "chunk 1 at byte 1060864: its list of pages is damaged");
	memcpy(m.bytes + PAGE_SIZE, other.bytes + PAGE_SIZE, PAGE_SIZE);
	memcpy(m.bytes + 2 * PAGE_SIZE, other.bytes + 2 * PAGE_SIZE, PAGE_SIZE);
	/* Of the same bytes, hence only told apart by their checksums. */
	header_of(&m)->state_crc = header_of(&other)->state_crc;
	store_memory_repair_header(&m);
	refused(&m, "the state records (4096 bytes at byte 8192) are damaged");
	store_memory_fini(&m);
	store_memory_fini(&other);
}

static void test_sink_ends_the_reading(void **state)
{
	struct taken taken = {.err = HV_ENO_MEMORY};
	struct store_memory m;

	(void)state;
	make(&m, 3);
	assert_int_equal(read_all(&m, &taken), HV_ENO_MEMORY);
	assert_string_equal(why, "not this one");
	assert_int_equal(taken.pages, 1);
	store_memory_fini(&m);
}

/* ---- what the medium does ---- */

static void test_errors_of_reading(void **state)
{
	/* Header, two areas, two chunks. */
	static const char *const said[] = {
		"4096 bytes at byte 0 can't be read: input/output error",
		"4096 bytes at byte 4096 can't be read: input/output error",
		"4096 bytes at byte 8192 can't be read: input/output error",
		"1048576 bytes at byte 12288 can't be read: input/output error",
		"24576 bytes at byte 1060864 can't be read: input/output error",
	};
	struct taken taken = {0};
	struct store_memory m;

	(void)state;
	make(&m, CHUNK_PAGES);
	for (u32 i = 0; i < ARRAY_COUNT(said); i++) {
		m.calls_left = i;
		assert_int_equal(read_all(&m, &taken), HV_EIO);
		assert_string_equal(why, said[i]);
	}
	m.calls_left = ARRAY_COUNT(said);
	assert_int_equal(read_all(&m, &taken), HV_OK);
	store_memory_fini(&m);
}

/* Zeros, two areas, two chunks, a flush, the header, a flush. */
#define WRITE_CALLS 8u

static void test_errors_of_writing(void **state)
{
	(void)state;
	for (u32 i = 0; i <= WRITE_CALLS; i++) {
		struct taken taken = {0};
		struct store_memory m;

		store_memory_init(&m, chunk_at(2));
		m.calls_left = i;
		assert_int_equal(write_into(&m, CHUNK_PAGES), i < WRITE_CALLS ? HV_EIO : HV_OK);
		m.calls_left = UINT32_MAX;
		/* The last of the flushes: nobody can tell. */
		assert_int_equal(read_all(&m, &taken), i < WRITE_CALLS - 1 ? HV_ECORRUPT : HV_OK);
		store_memory_fini(&m);
	}
}

static u32 watched;

/* Each step leaves what is no snapshot, but for the header's. */
static void watch_order(struct store_memory *m, u64 offset, const void *buf, size_t length)
{
	static const u8 zeros[PAGE_SIZE];
	static const u64 at[WRITE_CALLS] = {0, 4096, 8192, 12288, 1060864};
	struct store_header header;

	assert_true(watched < WRITE_CALLS);
	assert_int_equal(offset, at[watched]);
	assert_int_equal(!buf, watched == 5 || watched == 7);
	if (watched == 0)
		assert_memory_equal(buf, zeros, length);
	if (watched == 6)
		assert_memory_equal(buf, "ANEWSNAP", 8);
	assert_int_equal(store_read_header(&m->io, &header, why),
			 watched == WRITE_CALLS - 1 ? HV_OK : HV_ECORRUPT);
	watched++;
}

static void test_order_of_writing(void **state)
{
	struct store_memory m;

	(void)state;
	/* Over an earlier one: it is gone with the first write. */
	make(&m, CHUNK_PAGES);
	m.io.size = 0;
	watched = 0;
	m.watch = watch_order;
	assert_int_equal(write_into(&m, CHUNK_PAGES), HV_OK);
	assert_int_equal(watched, WRITE_CALLS);
	store_memory_fini(&m);
}

/* A chunk that can't be written stays in the buffer, and no page goes behind it. */
static void test_page_after_error(void **state)
{
	struct taken taken = {0};
	struct store_writer writer;
	struct store_memory m;

	(void)state;
	store_memory_init(&m, chunk_at(2));
	assert_int_equal(
		store_write_begin(&writer, &m.io, buffer, &about, "config", 6, "devices", 7),
		HV_OK);
	assert_int_equal(add_pages(&writer, STORE_CHUNK_PAGES), HV_OK);
	m.calls_left = 0;
	for (u32 i = 0; i < 2; i++)
		assert_int_equal(add_page(&writer, STORE_CHUNK_PAGES * 2 * PAGE_SIZE), HV_EIO);
	m.calls_left = UINT32_MAX;
	assert_int_equal(add_page(&writer, STORE_CHUNK_PAGES * 2 * PAGE_SIZE), HV_OK);
	assert_int_equal(store_write_end(&writer), HV_OK);
	assert_int_equal(read_all(&m, &taken), HV_OK);
	assert_int_equal(taken.pages, STORE_CHUNK_PAGES + 1);
	store_memory_fini(&m);
}

/* ---- what the writer refuses ---- */

static enum hv_error begin(const struct store_header *header, u32 meta_length, u32 state_length)
{
	static u8 area[STORE_AREA_MAX + 1];
	struct store_writer writer;
	struct store_memory m;
	enum hv_error err;

	store_memory_init(&m, MIB(3));
	err = store_write_begin(&writer, &m.io, buffer, header, area, meta_length, area,
				state_length);
	if (err)
		assert_int_equal(m.io.size, 0);
	store_memory_fini(&m);
	return err;
}

static void test_writer_refuses_headers(void **state)
{
	struct store_header header;

	(void)state;
	assert_int_equal(begin(&about, STORE_AREA_MAX, STORE_AREA_MAX), HV_OK);
	assert_int_equal(begin(&about, STORE_AREA_MAX + 1, 0), HV_ETOO_BIG);
	assert_int_equal(begin(&about, 0, STORE_AREA_MAX + 1), HV_ETOO_BIG);
	header = about;
	header.part_bytes--;
	assert_int_equal(begin(&header, 0, 0), HV_EINVALID);
	header = about;
	memset(header.id, 0, sizeof(header.id));
	assert_int_equal(begin(&header, 0, 0), HV_EINVALID);
	header = about;
	memset(header.vm, 'x', sizeof(header.vm));
	assert_int_equal(begin(&header, 0, 0), HV_EINVALID);
	header = about;
	header.arch[0] = 0;
	assert_int_equal(begin(&header, 0, 0), HV_EINVALID);
	header = about;
	header.build[0] = 0;
	assert_int_equal(begin(&header, 0, 0), HV_EINVALID);
	header = about;
	header.parent_name[0] = 0;
	assert_int_equal(begin(&header, 0, 0), HV_OK);
}

static void test_writer_refuses_pages(void **state)
{
	static const u8 zeros[PAGE_SIZE];
	struct store_writer writer;
	struct store_memory m;

	(void)state;
	store_memory_init(&m, MIB(2));
	assert_int_equal(store_write_begin(&writer, &m.io, buffer, &about, "", 0, "", 0), HV_OK);
	assert_int_equal(add_page(&writer, 1), HV_EINVALID);
	assert_int_equal(add_page(&writer, BIT(48)), HV_EINVALID);
	assert_int_equal(add_page(&writer, 2 * PAGE_SIZE), HV_OK);
	assert_int_equal(add_page(&writer, 2 * PAGE_SIZE), HV_EINVALID);
	assert_int_equal(add_page(&writer, PAGE_SIZE), HV_EINVALID);
	assert_int_equal(store_write_page(&writer, GPA(4 * PAGE_SIZE), zeros), HV_OK);
	assert_int_equal(add_page(&writer, 3 * PAGE_SIZE), HV_EINVALID);
	assert_int_equal(add_page(&writer, BIT(48) - PAGE_SIZE), HV_OK);
	assert_int_equal(store_write_end(&writer), HV_OK);
	assert_int_equal(writer.header.page_count, 2);
	store_memory_fini(&m);
}

/* One byte anywhere, at any alignment of the page in memory. */
static void test_almost_zero_pages(void **state)
{
	static u8 pages[PAGE_SIZE + 8];
	struct store_writer writer;
	struct store_memory m;
	u64 gpa = 0;

	(void)state;
	store_memory_init(&m, MIB(40));
	assert_int_equal(store_write_begin(&writer, &m.io, buffer, &about, "", 0, "", 0), HV_OK);
	for (u32 at = 0; at <= PAGE_SIZE + 7; at++, gpa += PAGE_SIZE) {
		u32 shift = at % 8;
		bool inside = at >= shift && at - shift < PAGE_SIZE;
		u64 before = writer.header.page_count;

		pages[at] = 0x80;
		assert_int_equal(store_write_page(&writer, GPA(gpa), pages + shift), HV_OK);
		assert_int_equal(writer.header.page_count, before + inside);
		assert_int_equal(store_is_zero(pages + shift), !inside);
		pages[at] = 0;
	}
	store_memory_fini(&m);
}

/* What is in memory behind the end of a text is nobody's business. */
static void test_texts_are_cleaned(void **state)
{
	struct store_header header = about, read;
	struct store_writer writer;
	struct store_memory m;

	(void)state;
	memcpy(header.name, "n\0secret", 9);
	memset(header.zero, 0xaa, sizeof(header.zero));
	store_memory_init(&m, MIB(1));
	assert_int_equal(store_write_begin(&writer, &m.io, buffer, &header, "", 0, "", 0), HV_OK);
	assert_int_equal(store_write_end(&writer), HV_OK);
	assert_int_equal(store_read_header(&m.io, &read, why), HV_OK);
	assert_memory_equal(read.name, "n\0\0\0\0\0\0\0", 8);
	store_memory_fini(&m);
}

/* ---- released formats stay readable ---- */

struct layout_slot {
	u64 base;
	u64 length;
	u32 kind;
	u32 zero;
};

static const u64 golden_pages[] = {0x1000, 0x9f000, 0xd0000000};

static u32 add_record(u8 *area, u32 at, const char *type, u32 instance, const void *fields,
		      u32 length)
{
	struct record_header header = {.instance = instance, .version = 1, .length = length};

	memcpy(header.type, type, strlen(type));
	memcpy(area + at, &header, sizeof(header));
	memcpy(area + at + sizeof(header), fields, length);
	return at + (u32)sizeof(header) + length;
}

static u32 golden_meta(u8 *area)
{
	static const struct layout_slot slots[16] = {
		{0, 0xa0000, 0, 0}, {0x100000, MIB(15), 0, 0}, {0xd0000000, 0x1000, 1, 0}};
	static const u64 memory = MIB(16);
	static const u32 vcpus = 1, count[2] = {3, 0};
	u8 config[32 + 8 + 4 + 128 + 128 + 1024 + 1] = "demo", layout[8 + sizeof(slots)];

	memcpy(config + 32, &memory, sizeof(memory));
	memcpy(config + 40, &vcpus, sizeof(vcpus));
	memcpy(config + 44, "vmlinuz", 7);
	memcpy(config + 172, "initrd", 6);
	memcpy(config + 300, "console=ttyS0", 13);
	memcpy(layout, count, sizeof(count));
	memcpy(layout + 8, slots, sizeof(slots));
	return add_record(area, add_record(area, 0, "config", 0, config, sizeof(config)), "layout",
			  0, layout, sizeof(layout));
}

/* The records' types are no device's: this is about their frame. */
static u32 golden_state(u8 *area)
{
	u32 end = add_record(area, 0, "fifteen-letters", 0, "0123456789", 10);

	end = add_record(area, end, "short", 0, "", 0);
	return add_record(area, end, "short", UINT32_MAX, "x", 1);
}

static void write_golden(struct store_memory *m)
{
	u8 meta[PAGE_SIZE], devices[PAGE_SIZE];
	struct store_writer writer;

	store_memory_init(m, 7 * PAGE_SIZE);
	if (store_write_begin(&writer, &m->io, buffer, &about, meta, golden_meta(meta), devices,
			      golden_state(devices)))
		abort();
	for (u32 i = 0; i < ARRAY_COUNT(golden_pages); i++)
		if (add_page(&writer, golden_pages[i]))
			abort();
	if (store_write_end(&writer))
		abort();
}

static enum hv_error take_golden(void *ctx, gpa_t gpa, const void *page, char *reason)
{
	u8 expected[PAGE_SIZE];
	u32 *count = ctx;

	(void)reason;
	assert_int_equal(gpa.v, golden_pages[*count]);
	fill_page(expected, gpa.v);
	assert_memory_equal(page, expected, PAGE_SIZE);
	++*count;
	return HV_OK;
}

/* What was written when the format was released is still read, and still written. */
static void test_golden(void **state)
{
	u8 expected[PAGE_SIZE], area[PAGE_SIZE];
	struct store_memory m, now;
	struct store_header header;
	struct store_reader reader;
	u32 pages = 0;
	FILE *file = fopen(GOLDEN, "rb");

	(void)state;
	assert_non_null(file);
	store_memory_init(&m, 7 * PAGE_SIZE + 1);
	m.io.size = fread(m.bytes, 1, m.room, file);
	fclose(file);

	assert_int_equal(store_read_header(&m.io, &header, why), HV_OK);
	assert_string_equal(header.vm, "demo");
	assert_int_equal(store_read_area(&m.io, &header, STORE_META, area, why), HV_OK);
	assert_int_equal(header.meta_length, golden_meta(expected));
	assert_memory_equal(area, expected, header.meta_length);
	assert_int_equal(store_read_area(&m.io, &header, STORE_STATE, area, why), HV_OK);
	assert_int_equal(header.state_length, golden_state(expected));
	assert_memory_equal(area, expected, header.state_length);
	store_read_begin(&reader, &m.io, &header);
	assert_int_equal(store_read_chunk(&reader, buffer, take_golden, &pages, why), HV_OK);
	assert_int_equal(pages, ARRAY_COUNT(golden_pages));
	assert_int_equal(reader.pages_left, 0);

	write_golden(&now);
	assert_int_equal(now.io.size, m.io.size);
	assert_memory_equal(now.bytes, m.bytes, m.io.size);
	store_memory_fini(&now);
	store_memory_fini(&m);
}

static int make_golden(const char *path)
{
	FILE *file = fopen(path, "wb");
	struct store_memory m;
	size_t written;

	if (!file) {
		perror(path);
		return 1;
	}
	write_golden(&m);
	written = fwrite(m.bytes, 1, m.io.size, file);
	store_memory_fini(&m);
	return fclose(file) || written != m.io.size;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_areas),
		cmocka_unit_test(test_every_truncation),
		cmocka_unit_test(test_every_bit),
		cmocka_unit_test(test_bytes_behind_the_end),
		cmocka_unit_test(test_header_after_refusal),
		cmocka_unit_test(test_headers_that_lie),
		cmocka_unit_test(test_no_id),
		cmocka_unit_test(test_no_header),
		cmocka_unit_test(test_chunks_that_lie),
		cmocka_unit_test(test_chunk_is_checked_first),
		cmocka_unit_test(test_chunks_in_other_places),
		cmocka_unit_test(test_pieces_of_another_snapshot),
		cmocka_unit_test(test_sink_ends_the_reading),
		cmocka_unit_test(test_errors_of_reading),
		cmocka_unit_test(test_errors_of_writing),
		cmocka_unit_test(test_order_of_writing),
		cmocka_unit_test(test_page_after_error),
		cmocka_unit_test(test_writer_refuses_headers),
		cmocka_unit_test(test_writer_refuses_pages),
		cmocka_unit_test(test_almost_zero_pages),
		cmocka_unit_test(test_texts_are_cleaned),
		cmocka_unit_test(test_golden),
	};

	if (argc == 3 && !strcmp(argv[1], "--golden"))
		return make_golden(argv[2]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
