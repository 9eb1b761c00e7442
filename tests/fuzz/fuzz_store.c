/* SPDX-License-Identifier: MIT */
/*
 * Any bytes as a snapshot: nothing is read outside of them, a refusal says why, and what is
 * accepted is, written again, the same byte for byte.
 *
 * The first byte says how the input is used: as the snapshot itself, or as changes to a good one,
 * four bytes each (page, offset in it, value). Checksums are put right again if asked for, as
 * otherwise nothing would ever get past them.
 */
#include "../unit/store_memory.h"

/* Bits of the first byte. */
#define CHANGES 0x01
#define REPAIR  0x02
#define LENGTH  0x04 /* also of the header's length */
#define TRIM    0x08 /* cuts off some bytes of the good one */
#define LARGE   0xf0 /* all of them: the good one has two chunks, for some of the inputs */

#define SMALL_PAGES 3u
#define LARGE_PAGES (STORE_CHUNK_PAGES + 2)
#define AREA_PAGES  2u

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);

/* The reader's, and the writer's. */
static _Alignas(8) u8 buffer[STORE_CHUNK_BYTES], written[STORE_CHUNK_BYTES];

static void must(bool holds)
{
	if (!holds)
		abort();
}

static void make_good(struct store_memory *m, u32 page_count)
{
	static const struct store_header about = {
		.arch = "arch",
		.name = "name",
		.id = {1},
		.parent_name = "parent",
		.vm = "vm",
		.build = "build",
		.part_bytes = PAGE_SIZE,
	};
	struct store_writer writer;
	u64 page[PAGE_SIZE / 8] = {0};

	store_memory_init(m, (1 + AREA_PAGES + 2 + page_count) * PAGE_SIZE);
	must(!store_write_begin(&writer, &m->io, written, &about, "config", 6, "devices", 7));
	for (u32 i = 0; i < page_count; i++) {
		page[i] = i + 1;
		must(!store_write_page(&writer, GPA(i * PAGE_SIZE), page));
	}
	must(!store_write_end(&writer));
}

/* Few inputs get the large one, however much the fuzzer likes it: it takes a hundred times longer.
 */
static bool wants_large(u8 how, const u8 *data, size_t size)
{
	return (how & LARGE) == LARGE && crc32c(0, data, size) % 16 == 0;
}

/* A copy of the good one, changed; most changes go to the header and the lists of pages. */
static void make_changed(struct store_memory *m, u8 how, const u8 *data, size_t size)
{
	static struct store_memory good[2];
	bool large = wants_large(how, data, size);
	const struct store_memory *from = &good[large];

	if (!from->bytes)
		make_good(&good[large], large ? LARGE_PAGES : SMALL_PAGES);
	store_memory_init(m, from->io.size);
	m->io.size = from->io.size;
	if (how & TRIM && size)
		m->io.size -= data[0] * (data[0] & 1 ? 1 : PAGE_SIZE / 2) % from->io.size;
	memcpy(m->bytes, from->bytes, from->io.size);
	for (size_t i = 0; i + 4 <= size; i += 4) {
		u64 page = data[i] < 64 ? 0 : data[i] % (from->io.size / PAGE_SIZE);
		u64 offset = (data[i + 1] | (u64)data[i + 2] << 8) % PAGE_SIZE;

		m->bytes[page * PAGE_SIZE + offset] = data[i + 3];
	}
}

struct rewrite {
	struct store_memory memory;
	struct store_writer writer;
	u64 next; /* the lowest address that may come */
};

static enum hv_error take(void *ctx, gpa_t gpa, const void *page, char *why)
{
	struct rewrite *rewrite = ctx;
	u64 pages = rewrite->writer.header.page_count;

	(void)why;
	must(gpa.v >= rewrite->next && gpa.v % PAGE_SIZE == 0 && gpa.v < BIT(48));
	must(!store_write_page(&rewrite->writer, gpa, page));
	must(rewrite->writer.header.page_count == pages + 1);
	rewrite->next = gpa.v + PAGE_SIZE;
	return HV_OK;
}

static enum hv_error read_and_write(struct store_memory *m, struct rewrite *rewrite, char *why)
{
	static u8 meta[STORE_AREA_MAX], state[STORE_AREA_MAX];
	struct store_header header;
	struct store_reader reader;
	enum hv_error err = store_read_header(&m->io, &header, why);

	if (!err)
		err = store_read_area(&m->io, &header, STORE_META, meta, why);
	if (!err)
		err = store_read_area(&m->io, &header, STORE_STATE, state, why);
	if (err)
		return err;
	must(!store_write_begin(&rewrite->writer, &rewrite->memory.io, written, &header, meta,
				header.meta_length, state, header.state_length));
	store_read_begin(&reader, &m->io, &header);
	while (!err && reader.pages_left)
		err = store_read_chunk(&reader, buffer, take, rewrite, why);
	if (!err)
		must(!store_write_end(&rewrite->writer));
	return err;
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	static struct rewrite rewrite;
	char why[STORE_WHY_MAX] = "";
	struct store_memory m;
	enum hv_error err;
	u8 how;

	if (!size)
		return 0;
	how = *data++;
	size--;
	if (how & CHANGES) {
		make_changed(&m, how, data, size);
	} else {
		store_memory_init(&m, size);
		memcpy(m.bytes, data, size);
		m.io.size = size;
	}
	if (how & REPAIR)
		store_memory_repair(&m, how & LENGTH);
	rewrite.next = 0;
	store_memory_init(&rewrite.memory, m.io.size);
	err = read_and_write(&m, &rewrite, why);
	must(!err == !why[0] && memchr(why, 0, sizeof(why)));
	must(!err || err == HV_ECORRUPT || err == HV_EUNSUPPORTED);
	if (!err) {
		must(rewrite.memory.io.size == m.io.size);
		must(!memcmp(rewrite.memory.bytes, m.bytes, m.io.size));
	}
	store_memory_fini(&rewrite.memory);
	store_memory_fini(&m);
	return 0;
}
