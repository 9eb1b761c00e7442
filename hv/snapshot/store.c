/* SPDX-License-Identifier: MIT */
#include <internal/store.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* No architecture has guest-physical addresses of more bits. */
#define GPA_END  BIT(48)
#define PAGE_MAX (GPA_END / PAGE_SIZE)

struct text {
	u32 offset;
	u32 size;
	bool optional;
	const char *what;
};

#define TEXT(member, may_be_empty, name)                                                           \
	{                                                                                          \
		offsetof(struct store_header, member), sizeof(((struct store_header *)0)->member), \
			may_be_empty, name                                                         \
	}

/* arch is the first: it can be relied upon in every version. */
static const struct text texts[] = {
	TEXT(arch, false, "architecture"),
	TEXT(name, false, "name"),
	TEXT(parent_name, true, "parent's name"),
	TEXT(vm, false, "VM's name"),
	TEXT(build, false, "build"),
};

enum hv_error store_refuse(char *why, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(why, STORE_WHY_MAX, format, args);
	va_end(args);
	return HV_ECORRUPT;
}

/* By words: most of what it looks at is guest memory. */
static bool is_zero(const void *buf, size_t length)
{
	const u8 *p = buf;

	for (; length && (uintptr_t)p % 8; length--)
		if (*p++)
			return false;
	for (; length >= 32; length -= 32, p += 32) {
		u64 word[4];

		__builtin_memcpy(word, __builtin_assume_aligned(p, 8), sizeof(word));
		if (word[0] | word[1] | word[2] | word[3])
			return false;
	}
	for (; length; length--)
		if (*p++)
			return false;
	return true;
}

bool store_is_zero(const void *page)
{
	return is_zero(page, PAGE_SIZE);
}

/* ---- what both sides compute ---- */

static u32 id_crc(const struct store_header *header)
{
	return crc32c(0, header->id, sizeof(header->id));
}

static u32 header_crc(const struct store_header *header)
{
	return crc32c(id_crc(header), header, offsetof(struct store_header, crc));
}

static u32 chunk_crc(u32 begin, struct store_chunk *chunk)
{
	u32 crc, kept = chunk->crc;

	chunk->crc = 0;
	crc = crc32c(begin, chunk, sizeof(*chunk));
	chunk->crc = kept;
	return crc;
}

static u32 area_length(const struct store_header *header, enum store_area area)
{
	return area == STORE_META ? header->meta_length : header->state_length;
}

size_t store_area_size(const struct store_header *header, enum store_area area)
{
	return ALIGN_UP((u64)area_length(header, area), PAGE_SIZE);
}

static u64 area_offset(const struct store_header *header, enum store_area area)
{
	return PAGE_SIZE + (area == STORE_META ? 0 : store_area_size(header, STORE_META));
}

static u64 chunk_offset(const struct store_header *header, u64 number)
{
	return area_offset(header, STORE_STATE) + store_area_size(header, STORE_STATE) +
	       number * STORE_CHUNK_BYTES;
}

/* Of all of it. The areas are not too long, nor are the pages too many. */
static u64 whole_length(const struct store_header *header)
{
	u64 left = header->page_count % STORE_CHUNK_PAGES;

	return chunk_offset(header, header->page_count / STORE_CHUNK_PAGES) +
	       (left ? (left + 1) * PAGE_SIZE : 0);
}

/* Ends within its place, printable up to there, zeros behind. */
static bool text_is_good(const char *text, const struct text *t)
{
	size_t length = 0;

	while (length < t->size && text[length] >= ' ' && text[length] <= '~')
		length++;
	return (length || t->optional) && length < t->size &&
	       is_zero(text + length, t->size - length);
}

static enum hv_error check_text(const struct store_header *header, const struct text *t, char *why)
{
	if (text_is_good((const char *)header + t->offset, t))
		return HV_OK;
	return store_refuse(why, "the header's text for the %s is not legal", t->what);
}

/* Everything in a header of this version but magic, version, and checksums. */
static enum hv_error check_fields(const struct store_header *header, char *why)
{
	for (u32 i = 0; i < ARRAY_COUNT(texts); i++) {
		enum hv_error err = check_text(header, &texts[i], why);

		if (err)
			return err;
	}
	if (header->header_bytes != PAGE_SIZE)
		return store_refuse(why, "the header says that it has %u bytes, it has %llu",
				    header->header_bytes, (unsigned long long)PAGE_SIZE);
	if (is_zero(header->id, sizeof(header->id)))
		return store_refuse(why, "the header has no id");
	if (!is_zero(header->zero, sizeof(header->zero)))
		return store_refuse(why, "the header has something where zeros must be");
	if (!header->part_bytes || header->part_bytes % PAGE_SIZE)
		return store_refuse(
			why, "the header says that each file has %llu bytes, not whole pages",
			(unsigned long long)header->part_bytes);
	if (header->meta_length > STORE_AREA_MAX || header->state_length > STORE_AREA_MAX)
		return store_refuse(why,
				    "the header says that the records have %u and %u bytes, %llu "
				    "each is the most",
				    header->meta_length, header->state_length,
				    (unsigned long long)STORE_AREA_MAX);
	if (header->page_count > PAGE_MAX)
		return store_refuse(
			why, "the header says that there are %llu pages, %llu is the most",
			(unsigned long long)header->page_count, (unsigned long long)PAGE_MAX);
	if (header->length != whole_length(header))
		return store_refuse(why, "the header says %llu bytes, what it lists has %llu",
				    (unsigned long long)header->length,
				    (unsigned long long)whole_length(header));
	return HV_OK;
}

/* ---- writing ---- */

/* Nothing but what is named, so that what is behind a text in memory gets into no file. */
static void fill_header(struct store_header *header, const struct store_header *about)
{
	memset(header, 0, sizeof(*header));
	memcpy(header->magic, STORE_MAGIC, sizeof(header->magic));
	header->version = STORE_VERSION;
	header->header_bytes = sizeof(*header);
	for (u32 i = 0; i < ARRAY_COUNT(texts); i++) {
		const char *from = (const char *)about + texts[i].offset;

		memcpy((char *)header + texts[i].offset, from, strnlen(from, texts[i].size));
	}
	memcpy(header->id, about->id, sizeof(header->id));
	memcpy(header->parent, about->parent, sizeof(header->parent));
	header->generation = about->generation;
	header->wall = about->wall;
	header->part_bytes = about->part_bytes;
}

static enum hv_error write_area(struct store_writer *writer, enum store_area area, const void *from,
				u32 *crc)
{
	u32 length = area_length(&writer->header, area);
	size_t size = store_area_size(&writer->header, area);

	*crc = writer->id_crc;
	if (!length)
		return HV_OK;
	memcpy(writer->buffer, from, length);
	memset(writer->buffer + length, 0, size - length);
	*crc = crc32c(writer->id_crc, writer->buffer, size);
	return writer->io->write(writer->io->ctx, area_offset(&writer->header, area),
				 writer->buffer, size);
}

enum hv_error store_write_begin(struct store_writer *writer, const struct store_io *io, u8 *buffer,
				const struct store_header *about, const void *meta, u32 meta_length,
				const void *state, u32 state_length)
{
	struct store_header *header = &writer->header;
	char why[STORE_WHY_MAX];
	enum hv_error err;

	if (meta_length > STORE_AREA_MAX || state_length > STORE_AREA_MAX)
		return HV_ETOO_BIG;
	fill_header(header, about);
	header->meta_length = meta_length;
	header->state_length = state_length;
	header->length = whole_length(header);
	if (check_fields(header, why))
		return HV_EINVALID;

	writer->io = io;
	writer->buffer = buffer;
	writer->id_crc = id_crc(header);
	writer->chunks = 0;
	writer->last = 0;
	memset(buffer, 0, PAGE_SIZE);
	err = io->write(io->ctx, 0, buffer, PAGE_SIZE);
	if (!err)
		err = write_area(writer, STORE_META, meta, &header->meta_crc);
	if (!err)
		err = write_area(writer, STORE_STATE, state, &header->state_crc);
	return err;
}

/* Pages in the buffer. */
static u32 waiting(const struct store_writer *writer)
{
	return (u32)(writer->header.page_count - (u64)writer->chunks * STORE_CHUNK_PAGES);
}

static enum hv_error write_chunk(struct store_writer *writer)
{
	struct store_chunk *chunk = (struct store_chunk *)(void *)writer->buffer;
	const struct store_io *io = writer->io;
	u32 count = waiting(writer);
	enum hv_error err;

	chunk->magic = STORE_CHUNK_MAGIC;
	chunk->number = writer->chunks;
	chunk->count = count;
	memset(&chunk->entries[count], 0, (STORE_CHUNK_PAGES - count) * sizeof(struct store_entry));
	chunk->crc = chunk_crc(writer->id_crc, chunk);
	err = io->write(io->ctx, chunk_offset(&writer->header, writer->chunks), writer->buffer,
			(count + 1) * PAGE_SIZE);
	if (!err)
		writer->chunks++;
	return err;
}

enum hv_error store_write_page(struct store_writer *writer, gpa_t gpa, const void *page)
{
	struct store_chunk *chunk = (struct store_chunk *)(void *)writer->buffer;
	enum hv_error err = HV_OK;
	u32 at;
	u8 *to;

	if (gpa.v % PAGE_SIZE || gpa.v >= GPA_END || gpa.v < writer->last)
		return HV_EINVALID;
	if (store_is_zero(page)) {
		writer->last = gpa.v + 1;
		return HV_OK;
	}
	if (waiting(writer) == STORE_CHUNK_PAGES)
		err = write_chunk(writer);
	if (err)
		return err;
	at = waiting(writer);
	to = writer->buffer + (at + 1) * PAGE_SIZE;
	memcpy(to, page, PAGE_SIZE);
	chunk->entries[at] = (struct store_entry){
		.gpa = gpa.v,
		.crc = crc32c(writer->id_crc, to, PAGE_SIZE),
	};
	writer->header.page_count++;
	writer->last = gpa.v + 1;
	return HV_OK;
}

enum hv_error store_write_end(struct store_writer *writer)
{
	const struct store_io *io = writer->io;
	struct store_header *header = &writer->header;
	enum hv_error err = HV_OK;

	if (waiting(writer))
		err = write_chunk(writer);
	header->length = whole_length(header);
	header->crc = header_crc(header);
	if (!err)
		err = io->flush(io->ctx);
	if (!err)
		err = io->write(io->ctx, 0, header, sizeof(*header));
	if (!err)
		err = io->flush(io->ctx);
	return err;
}

/* ---- reading ---- */

static enum hv_error get(const struct store_io *io, u64 offset, void *buf, size_t length, char *why)
{
	enum hv_error err = io->read(io->ctx, offset, buf, length);

	if (err)
		snprintf(why, STORE_WHY_MAX, "%llu bytes at byte %llu can't be read: %s",
			 (unsigned long long)length, (unsigned long long)offset,
			 hv_error_text(err));
	return err;
}

/* What holds for the headers of all versions. */
static enum hv_error check_every_version(const struct store_header *header, char *why)
{
	if (is_zero(header->magic, sizeof(header->magic)))
		return store_refuse(why, "it has no header: it was not written to its end");
	if (memcmp(header->magic, STORE_MAGIC, sizeof(header->magic)))
		return store_refuse(why, "it is no snapshot: it does not begin with %s",
				    STORE_MAGIC);
	if (header->crc != header_crc(header))
		return store_refuse(why, "the header is damaged");
	if (!header->version)
		return store_refuse(why, "the header's version is 0, which is none");
	return check_text(header, &texts[0], why);
}

static enum hv_error check_size(const struct store_header *header, u64 size, char *why)
{
	if (size < header->length)
		return store_refuse(why, "the file ends at byte %llu, %llu bytes are missing",
				    (unsigned long long)size,
				    (unsigned long long)(header->length - size));
	if (size > header->length)
		return store_refuse(
			why, "the file has %llu bytes behind the snapshot's end at byte %llu",
			(unsigned long long)(size - header->length),
			(unsigned long long)header->length);
	return HV_OK;
}

static enum hv_error newer(struct store_header *header, char *why)
{
	size_t kept = offsetof(struct store_header, name);

	memset((u8 *)header + kept, 0, sizeof(*header) - kept);
	snprintf(why, STORE_WHY_MAX, "it is of format version %u, this anew reads version %u",
		 header->version, STORE_VERSION);
	return HV_EUNSUPPORTED;
}

static enum hv_error read_header(const struct store_io *io, struct store_header *header, char *why)
{
	enum hv_error err;

	if (io->size < PAGE_SIZE)
		return store_refuse(
			why, "the file ends at byte %llu, %llu bytes of its header are missing",
			(unsigned long long)io->size, (unsigned long long)(PAGE_SIZE - io->size));
	err = get(io, 0, header, sizeof(*header), why);
	if (!err)
		err = check_every_version(header, why);
	if (!err && header->version == STORE_VERSION)
		err = check_fields(header, why);
	return err;
}

enum hv_error store_read_header(const struct store_io *io, struct store_header *header, char *why)
{
	enum hv_error err = read_header(io, header, why);

	if (err) {
		memset(header, 0, sizeof(*header));
		return err;
	}
	if (header->version != STORE_VERSION)
		return newer(header, why);
	return check_size(header, io->size, why);
}

enum hv_error store_read_area(const struct store_io *io, const struct store_header *header,
			      enum store_area area, void *buf, char *why)
{
	static const char *const name[] = {[STORE_META] = "meta", [STORE_STATE] = "state"};
	u32 crc = area == STORE_META ? header->meta_crc : header->state_crc;
	u32 length = area_length(header, area);
	size_t size = store_area_size(header, area);
	u64 offset = area_offset(header, area);
	enum hv_error err = size ? get(io, offset, buf, size, why) : HV_OK;

	if (err)
		return err;
	if (crc != crc32c(id_crc(header), buf, size))
		return store_refuse(why, "the %s records (%llu bytes at byte %llu) are damaged",
				    name[area], (unsigned long long)size,
				    (unsigned long long)offset);
	if (!is_zero((const u8 *)buf + length, size - length))
		return store_refuse(why, "the %s records are not followed by zeros", name[area]);
	return HV_OK;
}

void store_read_begin(struct store_reader *reader, const struct store_io *io,
		      const struct store_header *header)
{
	*reader = (struct store_reader){
		.io = io,
		.header = header,
		.id_crc = id_crc(header),
		.pages_left = header->page_count,
	};
}

static enum hv_error check_chunk(const struct store_reader *reader, struct store_chunk *chunk,
				 u32 count, char *why)
{
	u32 number = reader->chunks;

	if (chunk->crc != chunk_crc(reader->id_crc, chunk))
		return store_refuse(why, "chunk %u at byte %llu: its list of pages is damaged",
				    number,
				    (unsigned long long)chunk_offset(reader->header, number));
	if (chunk->magic != STORE_CHUNK_MAGIC)
		return store_refuse(why, "chunk %u: it does not begin as a chunk", number);
	if (chunk->number != number)
		return store_refuse(why, "chunk %u: in its place is chunk %u", number,
				    chunk->number);
	if (chunk->count != count)
		return store_refuse(why, "chunk %u: it has %u pages, must have %u", number,
				    chunk->count, count);
	if (!is_zero(&chunk->entries[count],
		     (STORE_CHUNK_PAGES - count) * sizeof(struct store_entry)))
		return store_refuse(why, "chunk %u: entries behind its %u pages are not zeros",
				    number, count);
	return HV_OK;
}

static enum hv_error check_entry(struct store_reader *reader, const struct store_entry *entry,
				 char *why)
{
	unsigned long long gpa = entry->gpa;

	if (entry->gpa % PAGE_SIZE || entry->gpa >= GPA_END)
		return store_refuse(why, "chunk %u: %llxh is no address of a page", reader->chunks,
				    gpa);
	if (entry->gpa < reader->next)
		return store_refuse(why, "chunk %u: page at %llxh comes after one at %llxh",
				    reader->chunks, gpa,
				    (unsigned long long)(reader->next - PAGE_SIZE));
	if (entry->zero)
		return store_refuse(
			why, "page at %llxh: its entry has something where zeros must be", gpa);
	reader->next = entry->gpa + PAGE_SIZE;
	return HV_OK;
}

static enum hv_error check_page(u32 begin, const struct store_entry *entry, const u8 *page,
				char *why)
{
	unsigned long long gpa = entry->gpa;

	if (entry->crc != crc32c(begin, page, PAGE_SIZE))
		return store_refuse(why, "page at %llxh is damaged", gpa);
	if (store_is_zero(page))
		return store_refuse(why, "page at %llxh is all zeros, such are not stored", gpa);
	return HV_OK;
}

/* The chunk that is in @chunk, as far as it was read, is done. */
static void pass(struct store_reader *reader, const struct store_chunk *chunk)
{
	reader->chunks++;
	reader->pages_left -= chunk->count;
}

enum hv_error store_read_chunk(struct store_reader *reader, u8 *buffer, store_sink *sink, void *ctx,
			       char *why)
{
	struct store_chunk *chunk = (struct store_chunk *)(void *)buffer;
	u32 count = (u32)min_u64(reader->pages_left, STORE_CHUNK_PAGES);
	enum hv_error err = get(reader->io, chunk_offset(reader->header, reader->chunks), buffer,
				(count + 1) * PAGE_SIZE, why);

	if (!err)
		err = check_chunk(reader, chunk, count, why);
	for (u32 i = 0; !err && i < count; i++) {
		err = check_entry(reader, &chunk->entries[i], why);
		if (!err)
			err = check_page(reader->id_crc, &chunk->entries[i],
					 buffer + (i + 1) * PAGE_SIZE, why);
	}
	for (u32 i = 0; !err && i < count; i++)
		err = sink(ctx, GPA(chunk->entries[i].gpa), buffer + (i + 1) * PAGE_SIZE, why);
	if (!err)
		pass(reader, chunk);
	return err;
}

enum hv_error store_read_entries(struct store_reader *reader, struct store_chunk *chunk, char *why)
{
	u32 count = (u32)min_u64(reader->pages_left, STORE_CHUNK_PAGES);
	enum hv_error err = get(reader->io, chunk_offset(reader->header, reader->chunks), chunk,
				sizeof(*chunk), why);

	if (!err)
		err = check_chunk(reader, chunk, count, why);
	for (u32 i = 0; !err && i < count; i++)
		err = check_entry(reader, &chunk->entries[i], why);
	if (!err)
		pass(reader, chunk);
	return err;
}

enum hv_error store_read_pages(const struct store_io *io, const struct store_header *header,
			       u64 number, const struct store_entry *entries, u32 count, u8 *pages,
			       char *why)
{
	u32 chunk = (u32)(number / STORE_CHUNK_PAGES);
	u32 first = (u32)(number % STORE_CHUNK_PAGES);
	enum hv_error err;

	if (first + count > STORE_CHUNK_PAGES)
		return HV_EINVALID;
	err = get(io, chunk_offset(header, chunk) + (first + 1) * PAGE_SIZE, pages,
		  count * PAGE_SIZE, why);
	for (u32 i = 0; !err && i < count; i++)
		err = check_page(id_crc(header), &entries[i], pages + i * PAGE_SIZE, why);
	return err;
}
