/* SPDX-License-Identifier: MIT */
/* Snapshots as files: names, slots and parts, and what a power cut leaves of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <internal/volume.h>

#include "host_files.h"
#include "host_pages.h"
#include "log_fake.h"

/* So that some pages are several files. */
#define PART      (8 * PAGE_SIZE)
#define LISTED    300
#define LOSSES    6 /* seeds of what a power cut loses */
#define OLD_PAGES 10u
#define NEW_PAGES 21u

/* First bytes of ids, which say what a snapshot is. */
enum which {
	NONE,
	OLD,
	NEW,
	NEXT,
	GONE,
	OTHER,
	DAMAGED
};

struct listed {
	char name[CONFIG_NAME_MAX];
	enum hv_error err;
	struct store_header header;
	char why[VOLUME_WHY_MAX];
};

static struct listed listed[LISTED];
static u32 listed_count;
static char why[VOLUME_WHY_MAX];
static _Alignas(8) u8 buffer[STORE_CHUNK_BYTES];

static int setup(void **state)
{
	(void)state;
	host_files_reset();
	volume_init(VOLUME_FOLDER);
	why[0] = 0;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	host_files_reset();
	return 0;
}

/* ---- whole snapshots ---- */

static void fill_page(u8 *page, enum which which, u64 gpa)
{
	u64 x = gpa + which;

	for (size_t i = 0; i < PAGE_SIZE; i++) {
		x = x * 6364136223846793005U + 1442695040888963407U;
		page[i] = (u8)(x >> 56);
	}
}

static enum hv_error write_pages(struct store_writer *writer, enum which which, u32 pages)
{
	u8 page[PAGE_SIZE];
	enum hv_error err = HV_OK;

	for (u32 i = 0; !err && i < pages; i++) {
		fill_page(page, which, i * PAGE_SIZE);
		err = store_write_page(writer, GPA(i * PAGE_SIZE), page);
	}
	return err;
}

static enum hv_error write_snapshot(struct volume_file *file, const char *name, u64 generation,
				    enum which which, u32 pages)
{
	struct store_header about = {.arch = "fake",
				     .vm = "demo",
				     .build = "test",
				     .id = {(u8)which, 1},
				     .generation = generation,
				     .part_bytes = PART};
	struct store_writer writer;
	enum hv_error err;

	strcpy(about.name, name);
	file->part_bytes = PART;
	err = store_write_begin(&writer, &file->io, buffer, &about, "meta", 4, "state", 5);
	if (!err)
		err = write_pages(&writer, which, pages);
	if (!err)
		err = store_write_end(&writer);
	return err;
}

static u64 snapshot_bytes(u32 pages)
{
	return (pages + 3 + (pages + STORE_CHUNK_PAGES - 1) / STORE_CHUNK_PAGES) * PAGE_SIZE;
}

static u32 snapshot_files(u32 pages)
{
	return (u32)((snapshot_bytes(pages) + PART - 1) / PART);
}

static enum hv_error save(const char *name, enum which which, u32 pages)
{
	struct volume_file file;
	u64 generation;
	enum hv_error err =
		volume_create(&file, name, snapshot_bytes(pages), true, &generation, why);

	if (err)
		return err;
	err = write_snapshot(&file, name, generation, which, pages);
	volume_close(&file, !err);
	return err;
}

struct expected {
	enum which which;
	u32 pages;
};

static enum hv_error compare_page(void *ctx, gpa_t gpa, const void *page, char *text)
{
	struct expected *expected = ctx;
	u8 bytes[PAGE_SIZE];

	(void)text;
	fill_page(bytes, expected->which, gpa.v);
	if (gpa.v != expected->pages++ * PAGE_SIZE || memcmp(page, bytes, PAGE_SIZE))
		return HV_ECORRUPT;
	return HV_OK;
}

static bool read_pages(struct volume_file *file, const struct store_header *header, u32 pages)
{
	struct expected expected = {.which = header->id[0]};
	struct store_reader reader;
	char text[STORE_WHY_MAX];

	store_read_begin(&reader, &file->io, header);
	while (reader.pages_left)
		if (store_read_chunk(&reader, buffer, compare_page, &expected, text))
			return false;
	return expected.pages == pages;
}

/* What there is of the name; DAMAGED also when it is not the one of @pages whose id it has. */
static enum which read_snapshot(const char *name, const u32 pages[OTHER + 1])
{
	struct store_header header;
	struct volume_file file;
	char area[PAGE_SIZE], text[STORE_WHY_MAX];
	enum hv_error err = volume_open(&file, name, &header, why);
	bool same;

	if (err == HV_ENOT_FOUND)
		return NONE;
	if (err || header.id[0] > OTHER)
		return DAMAGED;
	same = file.io.size == snapshot_bytes(pages[header.id[0]]) &&
	       !store_read_area(&file.io, &header, STORE_META, area, text) &&
	       !memcmp(area, "meta", 5) && read_pages(&file, &header, pages[header.id[0]]);
	volume_close(&file, false);
	return same ? (enum which)header.id[0] : DAMAGED;
}

static const u32 page_counts[] = {
	[OLD] = OLD_PAGES, [NEW] = NEW_PAGES, [NEXT] = 7, [GONE] = NEW_PAGES, [OTHER] = 3};

static void take_listed(void *ctx, const char *name, const struct store_header *header,
			enum hv_error err, const char *text)
{
	struct listed *l = &listed[listed_count++];

	(void)ctx;
	assert_true(listed_count <= LISTED);
	assert_int_equal(!text[0], err == HV_OK);
	strcpy(l->name, name);
	l->err = err;
	l->header = *header;
	strcpy(l->why, text);
}

static void ignore_listed(void *ctx, const char *name, const struct store_header *header,
			  enum hv_error err, const char *text)
{
	(void)ctx;
	(void)name;
	(void)header;
	(void)err;
	(void)text;
}

static u32 list(void)
{
	listed_count = 0;
	assert_int_equal(volume_list(take_listed, NULL), HV_OK);
	return listed_count;
}

static bool is_there(const char *path)
{
	u64 size;

	return host_files_bytes(path, &size) != NULL;
}

/* ---- one after the other ---- */

static void test_nothing(void **state)
{
	(void)state;
	assert_int_equal(list(), 0);
	assert_int_equal(read_snapshot("s", page_counts), NONE);
	assert_non_null(strstr(why, "no snapshot s in snapshots"));
	assert_int_equal(volume_delete("s", why), HV_OK);
}

static void test_save_and_read(void **state)
{
	u64 size;

	(void)state;
	assert_int_equal(save("s", NEW, NEW_PAGES), HV_OK);
	assert_int_equal(read_snapshot("s", page_counts), NEW);
	assert_int_equal(snapshot_files(NEW_PAGES), 4);
	assert_int_equal(host_files_count(), 4);
	assert_non_null(host_files_bytes("snapshots/s~0.snap", &size));
	assert_int_equal(size, PART);
	assert_non_null(host_files_bytes("snapshots/s~0.p003", &size));
	assert_int_equal(size, snapshot_bytes(NEW_PAGES) - 3 * PART);
	assert_int_equal(list(), 1);
	assert_string_equal(listed[0].name, "s");
	assert_int_equal(listed[0].err, HV_OK);
	assert_int_equal(listed[0].header.generation, 1);
	assert_string_equal(listed[0].header.vm, "demo");
}

/* From anywhere to anywhere, over the ends of files. */
static void test_read_in_any_order(void **state)
{
	struct store_header header;
	struct volume_file file;
	static u8 all[40 * PAGE_SIZE], piece[3 * PART];
	size_t length = snapshot_bytes(NEW_PAGES);

	(void)state;
	assert_int_equal(save("s", NEW, NEW_PAGES), HV_OK);
	assert_int_equal(volume_open(&file, "s", &header, why), HV_OK);
	assert_int_equal(file.io.read(&file, 0, all, length), HV_OK);
	for (u64 at = length; at-- > 0; at -= min_u64(at, 777)) {
		size_t count = min_u64(length - at, 2 * PART + 5);

		assert_int_equal(file.io.read(&file, at, piece, count), HV_OK);
		assert_memory_equal(piece, all + at, count);
	}
	assert_int_not_equal(file.io.read(&file, length, piece, 1), HV_OK);
	assert_int_not_equal(file.io.read(&file, 4 * PART, piece, 1), HV_OK);
	volume_close(&file, false);
}

static void test_replace(void **state)
{
	(void)state;
	for (u32 i = 1; i <= 4; i++) {
		enum which which = i % 2 ? OLD : NEW;

		assert_int_equal(save("s", which, page_counts[which]), HV_OK);
		assert_int_equal(host_files_count(), snapshot_files(page_counts[which]));
		assert_int_equal(read_snapshot("s", page_counts), which);
		assert_int_equal(list(), 1);
		assert_int_equal(listed[0].header.generation, i);
		assert_int_equal(is_there("snapshots/s~0.snap"), i % 2);
	}
	assert_int_equal(volume_delete("s", why), HV_OK);
	assert_int_equal(host_files_count(), 0);
}

static void test_given_up(void **state)
{
	struct volume_file file;
	u64 generation;

	(void)state;
	assert_int_equal(save("s", OLD, OLD_PAGES), HV_OK);
	assert_int_equal(volume_create(&file, "s", MIB(1), true, &generation, why), HV_OK);
	assert_int_equal(generation, 2);
	/* It is not what a power cut left. */
	assert_int_equal(list(), 1);
	assert_int_equal(host_files_count(), snapshot_files(OLD_PAGES) + 1);
	assert_int_equal(write_snapshot(&file, "s", generation, NEW, NEW_PAGES), HV_OK);
	volume_close(&file, false);
	assert_int_equal(read_snapshot("s", page_counts), OLD);
	assert_int_equal(host_files_count(), snapshot_files(OLD_PAGES));
}

static void test_folders(void **state)
{
	static const char *const folders[] = {"DATA:", "data:a/b", "", "a/b/c/", "DATA:x"};

	(void)state;
	for (u32 i = 0; i < ARRAY_COUNT(folders); i++) {
		volume_init(folders[i]);
		assert_int_equal(list(), 0);
		assert_int_equal(save("s", OLD, OLD_PAGES), HV_OK);
		assert_int_equal(read_snapshot("s", page_counts), OLD);
		assert_int_equal(list(), 1);
	}
	assert_true(is_there("DATA:s~0.snap"));
	assert_true(is_there("DATA:a/b/s~0.snap"));
	assert_true(is_there("s~0.snap"));
	assert_true(is_there("a/b/c/s~0.snap"));
	volume_init("USB:snapshots");
	assert_int_equal(volume_list(take_listed, NULL), HV_ENOT_FOUND);
	assert_int_equal(save("s", OLD, OLD_PAGES), HV_ENOT_FOUND);
	assert_non_null(strstr(why, "no volume of USB:snapshots; plug it in where it was"));
	volume_init("s~0.snap");
	assert_int_equal(save("s", OLD, OLD_PAGES), HV_EEXISTS);
}

static void test_names(void **state)
{
	(void)state;
	assert_int_equal(save("foo", OLD, OLD_PAGES), HV_OK);
	assert_int_equal(save("Foo", NEW, NEW_PAGES), HV_EEXISTS);
	assert_non_null(strstr(why, "there is a snapshot foo"));
	assert_int_equal(read_snapshot("Foo", page_counts), NONE);
	assert_int_equal(volume_delete("Foo", why), HV_OK);
	assert_int_equal(read_snapshot("foo", page_counts), OLD);
	assert_int_equal(save("foo.1", NEW, NEW_PAGES), HV_OK);
	assert_int_equal(save("-x", NEW, NEW_PAGES), HV_EINVALID);
	assert_int_equal(save("../x", NEW, NEW_PAGES), HV_EINVALID);
	assert_int_equal(save("a23456789012345678901234567890123", NEW, NEW_PAGES), HV_EINVALID);
	assert_int_equal(list(), 2);
	assert_int_equal(volume_delete("foo", why), HV_OK);
	assert_int_equal(read_snapshot("foo.1", page_counts), NEW);
}

static void test_strays_are_ignored(void **state)
{
	static const char *const names[] = {"readme.txt",
					    "x~2.snap",
					    "x~0.p0001",
					    "~0.snap",
					    "a b~0.snap",
					    "x~0.p000",
					    "x~0.p01",
					    "x~0.001",
					    "x~0.q001",
					    "x~0snap",
					    "x~0.snap2",
					    "x~",
					    "x~0.p1000000000000000001",
					    "x.snap",
					    "x~1.p001",
					    "a23456789012345678901234567890123~0.snap"};

	(void)state;
	for (u32 i = 0; i < ARRAY_COUNT(names); i++) {
		char path[256] = "snapshots/";

		host_files_put(strcat(path, names[i]), "stray", 5);
	}
	/* The last but one is what a deletion left. */
	assert_int_equal(list(), 1);
	assert_string_equal(listed[0].name, "x");
	assert_int_equal(listed[0].err, HV_ECORRUPT);
	assert_non_null(strstr(listed[0].why, "its first file is missing"));
	assert_int_equal(save("x", OLD, OLD_PAGES), HV_OK);
	assert_int_equal(read_snapshot("x", page_counts), OLD);
	/* It was a leftover of the other slot. */
	assert_false(is_there("snapshots/x~1.p001"));
	assert_int_equal(volume_delete("x", why), HV_OK);
	assert_int_equal(host_files_count(), ARRAY_COUNT(names) - 1);
}

static void assert_broken(enum hv_error err, const char *text)
{
	assert_int_equal(list(), 1);
	assert_int_equal(listed[0].err, err);
	assert_non_null(strstr(listed[0].why, text));
	assert_int_equal(read_snapshot("s", page_counts), DAMAGED);
	assert_non_null(strstr(why, text));
	assert_int_equal(save("s", NEXT, page_counts[NEXT]), HV_OK);
	assert_int_equal(read_snapshot("s", page_counts), NEXT);
	assert_int_equal(host_files_count(), snapshot_files(page_counts[NEXT]));
}

static void test_broken(void **state)
{
	u64 size;

	(void)state;
	assert_int_equal(save("s", NEW, NEW_PAGES), HV_OK);
	assert_int_equal(host_file_delete("snapshots/s~0.p001"), HV_OK);
	assert_broken(HV_ECORRUPT, "s~0.p001 is missing");
	assert_int_equal(volume_delete("s", why), HV_OK);

	assert_int_equal(save("s", NEW, NEW_PAGES), HV_OK);
	host_files_put("snapshots/s~0.p002", "short", 5);
	assert_broken(HV_ECORRUPT, "s~0.p002 is 5 bytes, must be 32768");
	assert_int_equal(volume_delete("s", why), HV_OK);

	assert_int_equal(save("s", NEW, NEW_PAGES), HV_OK);
	host_files_bytes("snapshots/s~0.snap", &size)[100] ^= 1;
	assert_broken(HV_ECORRUPT, "s~0.snap: ");
	assert_int_equal(volume_delete("s", why), HV_OK);

	host_files_put("snapshots/s~0.snap", NULL, 0);
	assert_broken(HV_ECORRUPT, "s~0.snap: ");
}

/* The header of the file as it is after @change. */
static void change_header(const char *path, void (*change)(struct store_header *header))
{
	u64 size;
	struct store_header *header = (void *)host_files_bytes(path, &size);

	change(header);
	header->crc =
		crc32c(crc32c(0, header->id, STORE_ID), header, offsetof(struct store_header, crc));
}

static void make_newer(struct store_header *header)
{
	header->version++;
}

static void make_last(struct store_header *header)
{
	header->generation = UINT64_MAX;
}

static void test_newer_version(void **state)
{
	struct volume_file file;
	u64 generation;

	(void)state;
	assert_int_equal(save("s", OLD, OLD_PAGES), HV_OK);
	change_header("snapshots/s~0.snap", make_newer);
	assert_int_equal(list(), 1);
	assert_int_equal(listed[0].err, HV_EUNSUPPORTED);
	assert_int_equal(listed[0].header.version, STORE_VERSION + 1);
	/* It stays until there is another. */
	assert_int_equal(volume_create(&file, "s", MIB(1), true, &generation, why), HV_OK);
	volume_close(&file, false);
	assert_int_equal(list(), 1);
	assert_int_equal(listed[0].err, HV_EUNSUPPORTED);
	host_files_put("snapshots/s~1.snap", "rubbish", 7);
	assert_int_equal(list(), 1);
	assert_int_equal(listed[0].err, HV_EUNSUPPORTED);
	assert_int_equal(save("s", NEW, NEW_PAGES), HV_OK);
	assert_false(is_there("snapshots/s~0.snap"));
	assert_int_equal(read_snapshot("s", page_counts), NEW);
}

static enum hv_error create_new(void)
{
	struct volume_file file;
	u64 generation;
	enum hv_error err = volume_create(&file, "s", MIB(1), false, &generation, why);

	if (!err)
		volume_close(&file, false);
	return err;
}

/* The caller may not know of it. */
static void test_no_replacing_unasked(void **state)
{
	u64 size;
	u8 *first;

	(void)state;
	assert_int_equal(create_new(), HV_OK);
	assert_int_equal(save("s", OLD, OLD_PAGES), HV_OK);
	assert_int_equal(create_new(), HV_EEXISTS);
	assert_non_null(strstr(why, "there is a snapshot s in snapshots already; say --replace"));
	assert_int_equal(read_snapshot("s", page_counts), OLD);
	change_header("snapshots/s~0.snap", make_newer);
	assert_int_equal(create_new(), HV_EEXISTS);
	first = host_files_bytes("snapshots/s~0.snap", &size);
	first[100] ^= 1;
	assert_int_equal(create_new(), HV_EEXISTS);
	host_files_put("snapshots/s~1.snap", "", 0);
	assert_int_equal(create_new(), HV_EEXISTS);
	assert_int_equal(host_files_count(), 1 + snapshot_files(OLD_PAGES));
	/* What an unfinished one leaves is none. */
	memset(first, 0, PAGE_SIZE);
	assert_int_equal(create_new(), HV_OK);
}

static void test_last_generation(void **state)
{
	(void)state;
	assert_int_equal(save("s", OLD, OLD_PAGES), HV_OK);
	change_header("snapshots/s~0.snap", make_last);
	assert_int_equal(save("s", NEW, NEW_PAGES), HV_ECORRUPT);
	assert_non_null(strstr(why, "`delete s` first"));
	assert_int_equal(read_snapshot("s", page_counts), OLD);
}

/* The short names of one are like the long ones of the other. */
static void test_short_names(void **state)
{
	(void)state;
	assert_int_equal(save("before-update", OTHER, page_counts[OTHER]), HV_OK);
	assert_int_equal(save("before-update", OLD, OLD_PAGES), HV_OK);
	for (u32 slot = 0; slot < 2; slot++) {
		assert_int_equal(save("before", NEW, NEW_PAGES), HV_OK);
		assert_int_equal(read_snapshot("before", page_counts), NEW);
		assert_int_equal(read_snapshot("before-update", page_counts), OLD);
	}
	assert_int_equal(host_files_count(), snapshot_files(OLD_PAGES) + snapshot_files(NEW_PAGES));
	assert_int_equal(volume_delete("before", why), HV_OK);
	assert_int_equal(read_snapshot("before-update", page_counts), OLD);
	assert_int_equal(host_files_count(), snapshot_files(OLD_PAGES));
}

/* What can't be read just now may be the one that counts. */
static void test_unreadable_is_not_replaced(void **state)
{
	(void)state;
	assert_int_equal(save("s", OLD, OLD_PAGES), HV_OK);
	host_files.steps = 0;
	host_files.bad_read_at = 4;
	assert_int_equal(save("s", NEW, NEW_PAGES), HV_EIO);
	assert_int_equal(host_files.steps, 4);
	assert_int_equal(read_snapshot("s", page_counts), OLD);
}

/* Files as they are after a power cut before the last step: OLD in slot 0, NEW in slot 1. */
static void prepare_two(void)
{
	static const char *const paths[] = {"snapshots/s~0.snap", "snapshots/s~0.p001"};
	static u8 bytes[2][PART];
	u64 sizes[2];

	host_files_reset();
	assert_int_equal(save("s", OLD, OLD_PAGES), HV_OK);
	assert_int_equal(snapshot_files(OLD_PAGES), 2);
	for (u32 i = 0; i < 2; i++) {
		const u8 *from = host_files_bytes(paths[i], &sizes[i]);

		memcpy(bytes[i], from, sizes[i]);
	}
	assert_int_equal(save("s", NEW, NEW_PAGES), HV_OK);
	for (u32 i = 0; i < 2; i++)
		host_files_put(paths[i], bytes[i], sizes[i]);
	host_files.steps = 0;
}

/* An earlier one doesn't count because the later one can't be read just now. */
static void test_unreadable_of_two(void **state)
{
	u32 refused = 0, steps;

	(void)state;
	for (u32 step = 1;; step++) {
		prepare_two();
		host_files.bad_read_at = step;
		refused += save("s", NEXT, page_counts[NEXT]) == HV_EIO;
		steps = host_files.steps;
		host_files.bad_read_at = 0;
		if (step > steps)
			break;
		if (read_snapshot("s", page_counts) != NEXT)
			assert_int_equal(read_snapshot("s", page_counts), NEW);
		assert_int_equal(host_files_open(), 0);
	}
	assert_int_equal(refused, 3);
	prepare_two();
	for (u32 step = 1; step < 10; step++) {
		struct store_header header;
		struct volume_file file;
		enum hv_error err;

		host_files.steps = 0;
		host_files.bad_read_at = step;
		err = volume_open(&file, "s", &header, why);
		if (err) {
			assert_int_equal(err, HV_EIO);
			continue;
		}
		assert_int_equal(header.id[0], NEW);
		volume_close(&file, false);
	}
	/* It can be deleted all the same. */
	host_files.steps = 0;
	host_files.bad_read_at = 3;
	assert_int_equal(volume_delete("s", why), HV_OK);
	assert_int_equal(host_files_count(), 0);
}

/* Listing them deletes the earlier one, but nothing that may still be of use. */
static void test_stale_is_deleted(void **state)
{
	u32 all = snapshot_files(OLD_PAGES) + snapshot_files(NEW_PAGES);

	(void)state;
	prepare_two();
	host_files.write_protected = true;
	assert_int_equal(list(), 1);
	assert_int_equal(host_files_count(), all);
	host_files.write_protected = false;
	assert_int_equal(list(), 1);
	assert_int_equal(host_files_count(), snapshot_files(NEW_PAGES));
	assert_int_equal(read_snapshot("s", page_counts), NEW);

	prepare_two();
	change_header("snapshots/s~0.snap", make_newer);
	assert_int_equal(list(), 1);
	assert_int_equal(host_files_count(), all);

	prepare_two();
	assert_int_equal(host_file_delete("snapshots/s~1.p002"), HV_OK);
	assert_int_equal(list(), 1);
	assert_int_equal(listed[0].err, HV_OK);
	assert_int_equal(host_files_count(), all - 1);
	assert_int_equal(read_snapshot("s", page_counts), OLD);
}

static void test_no_space(void **state)
{
	(void)state;
	assert_int_equal(save("s", OLD, OLD_PAGES), HV_OK);
	host_files.room = MIB(1) + snapshot_bytes(NEW_PAGES) - 1;
	assert_int_equal(save("s", NEW, NEW_PAGES), HV_ENO_SPACE);
	assert_non_null(strstr(why, "s needs 2 MiB, and the volume of snapshots has 1 MiB "
				    "free: 1 MiB are missing"));
	host_files.room++;
	assert_int_equal(save("s", NEXT, page_counts[NEXT]), HV_OK);
	/* At any place on the way. */
	host_files.room = GIB(1);
	for (u64 after = 0; after < snapshot_bytes(NEW_PAGES) + PAGE_SIZE; after += PAGE_SIZE) {
		host_files.full_after = after;
		assert_int_equal(save("s", NEW, NEW_PAGES), HV_ENO_SPACE);
		assert_int_equal(read_snapshot("s", page_counts), NEXT);
		assert_int_equal(host_files_count(), snapshot_files(page_counts[NEXT]));
	}
}

static void test_too_big(void **state)
{
	struct volume_file file;
	u64 generation;

	(void)state;
	host_files.room = UINT64_MAX;
	assert_int_equal(volume_create(&file, "s", UINT64_MAX, true, &generation, why),
			 HV_ETOO_BIG);
	assert_int_equal(volume_create(&file, "s", 1000 * GIB(2), true, &generation, why),
			 HV_ETOO_BIG);
	volume_set_part(MIB(64));
	assert_int_equal(volume_create(&file, "s", 1000 * MIB(64), true, &generation, why),
			 HV_ETOO_BIG);
	volume_set_part(VOLUME_PART_BYTES);
	assert_int_equal(volume_create(&file, "s", 900 * GIB(2), true, &generation, why), HV_OK);
	assert_int_equal(file.part_bytes, GIB(2));
	volume_close(&file, false);
}

static void test_write_protected(void **state)
{
	(void)state;
	host_files.write_protected = true;
	assert_int_equal(save("s", OLD, OLD_PAGES), HV_EDENIED);
	assert_non_null(strstr(why, "write-protected"));
	assert_int_equal(list(), 0);
	host_files.write_protected = false;
	assert_int_equal(save("s", OLD, OLD_PAGES), HV_OK);
	host_files.write_protected = true;
	assert_int_equal(read_snapshot("s", page_counts), OLD);
	assert_int_equal(save("s", NEW, NEW_PAGES), HV_EDENIED);
	assert_non_null(strstr(why, "write-protected"));
	assert_int_equal(volume_delete("s", why), HV_EDENIED);
	assert_int_equal(volume_delete("t", why), HV_OK);
	assert_int_equal(read_snapshot("s", page_counts), OLD);
	/* What is left of another slot is not in the way either. */
	host_files_put("snapshots/s~1.p001", "stray", 5);
	assert_int_equal(save("s", NEW, NEW_PAGES), HV_EDENIED);
	assert_non_null(strstr(why, "write-protected"));
}

static void test_too_many(void **state)
{
	(void)state;
	for (u32 i = 0; i < LISTED; i++) {
		char path[64];

		snprintf(path, sizeof(path), "snapshots/s%u~0.snap", i);
		host_files_put(path, "", 0);
	}
	assert_int_equal(list(), 256);
	/* By its name it is found all the same. */
	assert_int_equal(save("s299", OLD, OLD_PAGES), HV_OK);
	assert_int_equal(read_snapshot("s299", page_counts), OLD);
}

/* ---- the power goes ---- */

enum action {
	SAVE,
	DELETE
};

struct cut {
	enum action action;
	enum which before, after; /* after it was done */
	enum host_files_loss loss;
	u32 seed, step;
};

/* The medium before the action: another snapshot, and what a deleted one left in its place. */
static void prepare(const struct cut *cut)
{
	host_files_reset();
	assert_int_equal(save("t", OTHER, page_counts[OTHER]), HV_OK);
	for (u32 slot = 0; slot < 2; slot++)
		assert_int_equal(save("s", GONE, page_counts[GONE]), HV_OK);
	assert_int_equal(volume_delete("s", why), HV_OK);
	if (cut->before)
		assert_int_equal(save("s", cut->before, page_counts[cut->before]), HV_OK);
	host_files.steps = 0;
}

static enum hv_error act(const struct cut *cut)
{
	return cut->action == SAVE ? save("s", cut->after, page_counts[cut->after])
				   : volume_delete("s", why);
}

/* What is there of `s` as the list and the opening of it say; a damaged one is none. */
static enum which find_one(const struct cut *cut)
{
	enum which found = read_snapshot("s", page_counts);
	u32 whole = 0;

	for (u32 i = 0, count = list(); i < count; i++) {
		if (strcmp(listed[i].name, "s"))
			continue;
		whole += listed[i].err == HV_OK;
		if (listed[i].err == HV_OK && listed[i].header.id[0] != found)
			fail_msg("step %u, loss %u, seed %u: listed is %u, opened %u", cut->step,
				 cut->loss, cut->seed, listed[i].header.id[0], found);
		if (listed[i].err && found == DAMAGED)
			found = NONE;
	}
	if (whole != (found != NONE))
		fail_msg("step %u, loss %u, seed %u: %u of it are whole", cut->step, cut->loss,
			 cut->seed, whole);
	return found;
}

/* The next one of the name works, and leaves nothing of what was before. */
static void go_on(void)
{
	u32 others = snapshot_files(page_counts[OTHER]);

	assert_int_equal(save("s", NEXT, page_counts[NEXT]), HV_OK);
	assert_int_equal(read_snapshot("s", page_counts), NEXT);
	assert_int_equal(host_files_count(), others + snapshot_files(page_counts[NEXT]));
	assert_int_equal(volume_delete("s", why), HV_OK);
	assert_int_equal(read_snapshot("s", page_counts), NONE);
	assert_int_equal(host_files_count(), others);
	assert_int_equal(read_snapshot("t", page_counts), OTHER);
}

/* Cuts the power in one step. False when the action had ended before that. */
static bool cut_once(const struct cut *cut, u32 seen[DAMAGED + 1])
{
	enum which found;
	enum hv_error err;
	bool off;

	prepare(cut);
	host_files.cut_at = cut->step;
	host_files.loss = cut->loss;
	host_files.seed = cut->seed;
	err = act(cut);
	off = host_files.off;
	host_files_reboot();
	volume_init(VOLUME_FOLDER);
	found = find_one(cut);
	seen[found]++;
	/*
	 * The list has ended what the cut left. But what was on the medium before may look like a
	 * damaged one of a higher generation, which stays.
	 */
	if (found != NONE && cut->loss == HOST_FILES_KEEP)
		assert_int_equal(host_files_count(), snapshot_files(page_counts[OTHER]) +
							     snapshot_files(page_counts[found]));
	if (found != cut->after && (found != cut->before || err == HV_OK || !off))
		fail_msg("step %u, loss %u, seed %u: %u is there (result %d)", cut->step, cut->loss,
			 cut->seed, found, err);
	go_on();
	return off;
}

static void cut_everywhere(enum action action, enum which before, enum which after)
{
	u32 seen[DAMAGED + 1] = {0};

	for (u32 seed = 0; seed <= LOSSES; seed++) {
		struct cut cut = {action, before, after, seed ? HOST_FILES_LOSE : HOST_FILES_KEEP,
				  seed,   1};

		while (cut_once(&cut, seen))
			cut.step++;
		assert_true(cut.step > 5);
	}
	assert_true(seen[before] && seen[after]);
}

static void test_cut_of_the_first(void **state)
{
	(void)state;
	cut_everywhere(SAVE, NONE, NEW);
}

static void test_cut_of_a_replacement(void **state)
{
	(void)state;
	cut_everywhere(SAVE, OLD, NEW);
	cut_everywhere(SAVE, NEW, OLD);
}

static void test_cut_of_a_deletion(void **state)
{
	(void)state;
	cut_everywhere(DELETE, NEW, NONE);
}

/* The work after a cut is cut as well. */
static void test_cut_of_a_list(void **state)
{
	bool off = true;

	(void)state;
	for (u32 step = 1; off; step++) {
		prepare_two();
		host_files.cut_at = step;
		(void)!volume_list(ignore_listed, NULL);
		off = host_files.off;
		host_files_reboot();
		assert_int_equal(read_snapshot("s", page_counts), NEW);
		assert_int_equal(list(), 1);
		assert_int_equal(host_files_count(), snapshot_files(NEW_PAGES));
	}
}

/* Again and again, with what the last one left, cuts in the work after a cut included. */
static void test_cuts_in_a_row(void **state)
{
	struct cut cut = {SAVE, NONE, NONE, HOST_FILES_LOSE, 0, 0};
	u64 random = 1;

	(void)state;
	assert_int_equal(save("t", OTHER, page_counts[OTHER]), HV_OK);
	for (u32 i = 0; i < 1500; i++) {
		enum which found;
		enum hv_error err;

		random = random * 6364136223846793005U + 1442695040888963407U;
		cut.seed = (u32)(random >> 40);
		cut.step = 1 + (u32)(random >> 33) % 60;
		cut.action = (random >> 60) < 4 ? DELETE : SAVE;
		cut.after = cut.action == DELETE ? NONE : (random >> 50) % 2 ? OLD : NEW;
		host_files.cut_at = cut.step;
		host_files.loss = (random >> 55) % 2 ? HOST_FILES_LOSE : HOST_FILES_KEEP;
		host_files.seed = cut.seed;
		err = act(&cut);
		host_files_reboot();
		found = find_one(&cut);
		if (found != cut.after && (found != cut.before || err == HV_OK))
			fail_msg("cut %u: %u is there, after %u to %u (result %d)", i, found,
				 cut.before, cut.after, err);
		cut.before = found;
	}
	go_on();
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_nothing),
		TEST(test_save_and_read),
		TEST(test_read_in_any_order),
		TEST(test_replace),
		TEST(test_given_up),
		TEST(test_folders),
		TEST(test_names),
		TEST(test_strays_are_ignored),
		TEST(test_broken),
		TEST(test_short_names),
		TEST(test_newer_version),
		TEST(test_no_replacing_unasked),
		TEST(test_last_generation),
		TEST(test_unreadable_is_not_replaced),
		TEST(test_unreadable_of_two),
		TEST(test_stale_is_deleted),
		TEST(test_no_space),
		TEST(test_too_big),
		TEST(test_write_protected),
		TEST(test_too_many),
		TEST(test_cut_of_the_first),
		TEST(test_cut_of_a_replacement),
		TEST(test_cut_of_a_deletion),
		TEST(test_cut_of_a_list),
		TEST(test_cuts_in_a_row),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
