/* SPDX-License-Identifier: MIT */
/*
 * The format of a snapshot outside memory, written and read (hv/snapshot/FORMAT.md): a header of
 * one page that every version can read, records, pages in chunks. Nothing but bytes at offsets:
 * built for the host as well, where anew-snap is made of it.
 */
#ifndef HV_STORE_H
#define HV_STORE_H

#include <hv/error.h>
#include <hv/types.h>

#define STORE_MAGIC   "ANEWSNAP" /* 8 bytes, without an end */
#define STORE_VERSION 1u
#define STORE_ID      16u
#define STORE_NAME    32u

/*
 * Little-endian. Texts are printable ASCII, end with a zero and are filled up with zeros; only
 * parent_name may be empty. The first four members, id and crc are so in every version.
 */
struct store_header {
	char magic[8];
	u32 version;
	u32 header_bytes; /* PAGE_SIZE */
	char arch[16];    /* arch_name() */
	char name[STORE_NAME];
	/* Random, not zeros, of this snapshot alone; begins each of the checksums below. */
	u8 id[STORE_ID];
	u8 parent[STORE_ID]; /* id of the snapshot that the VM came from; zeros: none, it was booted
			      */
	char parent_name[STORE_NAME];
	char vm[STORE_NAME]; /* the VM's name */
	char build[32];      /* of the anew that wrote it */
	u64 generation; /* among the snapshots of this name: the highest that is whole counts */
	u64 wall;       /* seconds since 1970 (UTC), 0: unknown */
	u64 length;     /* bytes of all of it, this header included */
	u64 part_bytes; /* of each file but the last, whole pages */
	u64 page_count; /* pages that are stored; all others are zeros */
	/*
	 * The two areas of records, each from a page's start and filled up with zeros to the next;
	 * the checksums are over the filled-up area. STORE_AREA_MAX bytes each at most.
	 */
	u32 meta_length; /* bytes: what the VM is (config, layout) */
	u32 meta_crc;
	u32 state_length; /* bytes: the state of its devices and virtual CPUs */
	u32 state_crc;
	u8 zero[PAGE_SIZE - 252];
	u32 crc; /* of all bytes before */
};
static_assert(sizeof(struct store_header) == PAGE_SIZE, "layout of the format");
static_assert(offsetof(struct store_header, meta_length) == 232, "layout of the format");

/* So that STORE_CHUNK_BYTES have room for either area. */
#define STORE_AREA_MAX MIB(1)

/*
 * Pages come in chunks: a page of entries, and then the pages that they are about. All but the last
 * chunk are full: STORE_CHUNK_BYTES. Addresses rise from entry to entry and from chunk to chunk and
 * are below 2^48. A page of zeros is not stored.
 */
#define STORE_CHUNK_PAGES 255u
#define STORE_CHUNK_BYTES ((STORE_CHUNK_PAGES + 1) * PAGE_SIZE)
static_assert(STORE_CHUNK_BYTES >= STORE_AREA_MAX, "an area fits in the buffer");

struct store_entry {
	u64 gpa; /* of the page, guest-physical */
	u32 crc; /* of the page's bytes */
	u32 zero;
};

struct store_chunk {
	u32 magic;  /* STORE_CHUNK_MAGIC */
	u32 crc;    /* of the page of entries, with zeros in this place */
	u32 number; /* from 0 */
	u32 count;  /* of entries in use; the others are zeros */
	struct store_entry entries[STORE_CHUNK_PAGES];
};
#define STORE_CHUNK_MAGIC 0x4b4e4843u /* "CHNK" */
static_assert(sizeof(struct store_chunk) == PAGE_SIZE, "layout of the format");

/* Where the bytes are. @size: of what is there, for reading; errors are the host's. */
struct store_io {
	u64 size;
	enum hv_error (*read)(void *ctx, u64 offset, void *buf, size_t length);
	enum hv_error (*write)(void *ctx, u64 offset, const void *buf, size_t length);
	/* Everything that was written is on the medium when it returns. */
	enum hv_error (*flush)(void *ctx);
	void *ctx;
};

/*
 * CRC-32C (Castagnoli; RFC 3720 appendix B.4) of @length bytes after those that gave @crc; 0 to
 * begin with.
 */
u32 crc32c(u32 crc, const void *buf, size_t length);

/* Whether a page of 4 KiB is all zeros: such are not stored. */
bool store_is_zero(const void *page);

/* ---- writing ---- */

struct store_writer {
	const struct store_io *io;
	struct store_header header;
	u8 *buffer; /* STORE_CHUNK_BYTES */
	u32 id_crc; /* of the id, with which all checksums begin */
	u32 chunks;
	u64 last; /* gpa of the last page + 1 */
};

/*
 * Begins a snapshot: @about has all texts (arch and build too), ids, generation, wall and
 * part_bytes, the rest is filled in. A page of zeros is written in the header's place, then the
 * records. @buffer, STORE_CHUNK_BYTES of the caller's and aligned to 8, is in use until
 * store_write_end(). HV_EINVALID: no reader would take such a header; HV_ETOO_BIG: an area is
 * longer than STORE_AREA_MAX; or the errors of @io.
 */
HV_MUST_CHECK enum hv_error store_write_begin(struct store_writer *writer,
					      const struct store_io *io, u8 *buffer,
					      const struct store_header *about, const void *meta,
					      u32 meta_length, const void *state, u32 state_length);
/*
 * Adds the page of 4 KiB at @gpa; one of zeros is left out. HV_EINVALID: @gpa is not above the last
 * one, or no page's address; or the errors of @io.
 */
HV_MUST_CHECK enum hv_error store_write_page(struct store_writer *writer, gpa_t gpa,
					     const void *page);
/*
 * Ends it: what is left of the pages, a flush, then the header, which makes it a snapshot, and a
 * flush. writer->header is what was written.
 */
HV_MUST_CHECK enum hv_error store_write_end(struct store_writer *writer);

/* ---- reading: everything is hostile ---- */

#define STORE_WHY_MAX 160

/* HV_ECORRUPT, with the reason in @why. */
HV_PRINTF(2, 3) enum hv_error store_refuse(char *why, const char *format, ...);

/*
 * Reads and checks the header alone. HV_ECORRUPT: not a snapshot, damaged, or not whole;
 * HV_EUNSUPPORTED: of a newer version; the errors of @io. @why (STORE_WHY_MAX bytes) says what and
 * where. What can't be relied upon is zeros then: all of @header; after HV_EUNSUPPORTED all but
 * magic, version, header_bytes and arch; nothing when only @io->size is not the header's length.
 */
HV_MUST_CHECK enum hv_error store_read_header(const struct store_io *io,
					      struct store_header *header, char *why);

enum store_area {
	STORE_META,
	STORE_STATE,
};

/* Bytes of the area with what fills it up, that store_read_area() needs room for. */
size_t store_area_size(const struct store_header *header, enum store_area area);
/* Reads an area into @buf and checks it. HV_ECORRUPT, or the errors of @io. */
HV_MUST_CHECK enum hv_error store_read_area(const struct store_io *io,
					    const struct store_header *header, enum store_area area,
					    void *buf, char *why);

struct store_reader {
	const struct store_io *io;
	const struct store_header *header;
	u32 id_crc;
	u32 chunks; /* read */
	u64 pages_left;
	u64 next; /* the lowest address that may come */
};

/*
 * Takes one page of the snapshot. An error ends the reading; @why (STORE_WHY_MAX bytes) gets the
 * reason.
 */
typedef enum hv_error store_sink(void *ctx, gpa_t gpa, const void *page, char *why);

void store_read_begin(struct store_reader *reader, const struct store_io *io,
		      const struct store_header *header);
/*
 * Reads the next chunk into @buffer (STORE_CHUNK_BYTES, aligned to 8), checks all of it, and then
 * hands its pages to @sink. There is more to read as long as reader->pages_left is not 0.
 */
HV_MUST_CHECK enum hv_error store_read_chunk(struct store_reader *reader, u8 *buffer,
					     store_sink *sink, void *ctx, char *why);
/*
 * Reads and checks only the entries of the next chunk into @chunk, and passes over its pages: for
 * who reads these later, in any order.
 */
HV_MUST_CHECK enum hv_error store_read_entries(struct store_reader *reader,
					       struct store_chunk *chunk, char *why);
/*
 * Reads @count pages of one chunk, from the @number-th (from 0) of all on, and checks them against
 * their @entries. HV_EINVALID: they are of several chunks, and there is no @why.
 */
HV_MUST_CHECK enum hv_error store_read_pages(const struct store_io *io,
					     const struct store_header *header, u64 number,
					     const struct store_entry *entries, u32 count,
					     u8 *pages, char *why);

#endif
