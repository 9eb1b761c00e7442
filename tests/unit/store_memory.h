/* SPDX-License-Identifier: MIT */
/* A snapshot's bytes in memory, and checksums that are put right again after a change. */
#ifndef TESTS_STORE_MEMORY_H
#define TESTS_STORE_MEMORY_H

#include <stdlib.h>
#include <string.h>

#include <internal/store.h>

struct store_memory {
	struct store_io io; /* .size grows as it is written */
	u8 *bytes;          /* aligned to pages */
	u64 room;
	u32 calls_left; /* reads, writes and flushes that succeed; then HV_EIO */
	/* Called before each write and flush (buf is NULL); may be NULL. */
	void (*watch)(struct store_memory *memory, u64 offset, const void *buf, size_t length);
};

static enum hv_error store_memory_call(struct store_memory *m)
{
	if (!m->calls_left)
		return HV_EIO;
	m->calls_left--;
	return HV_OK;
}

static enum hv_error store_memory_read(void *ctx, u64 offset, void *buf, size_t length)
{
	struct store_memory *m = ctx;

	if (!length || offset > m->io.size || length > m->io.size - offset)
		abort();
	if (store_memory_call(m))
		return HV_EIO;
	memcpy(buf, m->bytes + offset, length);
	return HV_OK;
}

static enum hv_error store_memory_write(void *ctx, u64 offset, const void *buf, size_t length)
{
	struct store_memory *m = ctx;

	if (!length || offset > m->room || length > m->room - offset)
		abort();
	if (m->watch)
		m->watch(m, offset, buf, length);
	if (store_memory_call(m))
		return HV_EIO;
	memcpy(m->bytes + offset, buf, length);
	m->io.size = max_u64(m->io.size, offset + length);
	return HV_OK;
}

static enum hv_error store_memory_flush(void *ctx)
{
	struct store_memory *m = ctx;

	if (m->watch)
		m->watch(m, 0, NULL, 0);
	return store_memory_call(m);
}

static void store_memory_init(struct store_memory *m, u64 room)
{
	*m = (struct store_memory){
		.io = {0, store_memory_read, store_memory_write, store_memory_flush, m},
		.bytes = aligned_alloc(PAGE_SIZE, ALIGN_UP(max_u64(room, 1), PAGE_SIZE)),
		.room = room,
		.calls_left = UINT32_MAX,
	};
	if (!m->bytes)
		abort();
}

static void store_memory_fini(struct store_memory *m)
{
	free(m->bytes);
}

/* As store_read_header() would compute it. */
static void store_memory_repair_header(struct store_memory *m)
{
	struct store_header *header = (struct store_header *)(void *)m->bytes;

	header->crc =
		crc32c(crc32c(0, header->id, STORE_ID), header, offsetof(struct store_header, crc));
}

/* The list of the chunk at @offset; with those of its pages if @pages. */
static void store_memory_repair_chunk(struct store_memory *m, u64 offset, bool pages)
{
	struct store_chunk *chunk = (struct store_chunk *)(void *)(m->bytes + offset);
	u32 begin = crc32c(0, ((struct store_header *)(void *)m->bytes)->id, STORE_ID);

	for (u32 i = 0; pages && i < chunk->count && i < STORE_CHUNK_PAGES; i++) {
		u64 at = offset + (i + 1) * PAGE_SIZE;

		if (at + PAGE_SIZE <= m->io.size)
			chunk->entries[i].crc = crc32c(begin, m->bytes + at, PAGE_SIZE);
	}
	chunk->crc = 0;
	chunk->crc = crc32c(begin, chunk, sizeof(*chunk));
}

static inline void store_memory_repair_area(struct store_memory *m, u64 offset, u64 size, u32 *crc)
{
	const struct store_header *header = (const struct store_header *)(void *)m->bytes;

	if (offset <= m->io.size && size <= m->io.size - offset)
		*crc = crc32c(crc32c(0, header->id, STORE_ID), m->bytes + offset, size);
}

/* All of them, so far as there are bytes; and the length that the header says, if @length. */
static inline void store_memory_repair(struct store_memory *m, bool length)
{
	struct store_header *header = (struct store_header *)(void *)m->bytes;
	u64 meta, state, at;

	if (m->io.size < PAGE_SIZE)
		return;
	if (length)
		header->length = m->io.size;
	meta = store_area_size(header, STORE_META);
	state = store_area_size(header, STORE_STATE);
	store_memory_repair_area(m, PAGE_SIZE, meta, &header->meta_crc);
	store_memory_repair_area(m, PAGE_SIZE + meta, state, &header->state_crc);
	for (at = PAGE_SIZE + meta + state; at + PAGE_SIZE <= m->io.size; at += STORE_CHUNK_BYTES)
		store_memory_repair_chunk(m, at, true);
	store_memory_repair_header(m);
}

#endif
