/* SPDX-License-Identifier: MIT */
/*
 * anew-snap: what a snapshot's files hold, and whether they are whole, by the code that the
 * hypervisor has. The format: hv/snapshot/FORMAT.md.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include <internal/config.h>
#include <internal/mem.h>
#include <internal/snapshot.h>
#include <internal/store.h>

/* Exit statuses. */
#define WHOLE   0
#define REFUSED 1
#define TROUBLE 2

#define FIRST_PART ".snap"

/* As many files as there are numbers of three digits. */
#define PART_MAX 1000u

/* More in one area are refused: far more than any VM has, few enough to compare each with each. */
#define RECORD_MAX 1024u

static_assert(STORE_WHY_MAX >= RECORDS_WHY_MAX, "reasons of records fit");

struct files {
	struct store_io io;
	const char *first;
	u64 part_bytes;
	u32 count;
	FILE *open; /* the part in hand, or NULL */
	u32 number;
};

struct snap {
	struct files files;
	struct store_header header;
	u8 *area[2]; /* by enum store_area */
	/* Of the records `config` and `layout`. */
	struct vm_config config;
	u32 slot_count;
	struct mem_slot slots[MEM_SLOT_MAX];
	char why[STORE_WHY_MAX];
};

/* ---- files ---- */

/* NULL when the name of the first one says nothing about the others. The caller frees it. */
static char *part_path(const char *first, u32 number)
{
	size_t length = strlen(first);
	size_t stem = strlen(FIRST_PART);
	size_t room = length + sizeof(".p000");
	char *path;

	if (number && (length < stem || strcmp(first + length - stem, FIRST_PART)))
		return NULL;
	path = malloc(room);
	if (!path)
		abort();
	if (number)
		snprintf(path, room, "%.*s.p%03u", (int)(length - stem), first, number);
	else
		snprintf(path, room, "%s", first);
	return path;
}

static enum hv_error open_part(struct files *files, u32 number)
{
	char *path;

	if (files->open && files->number == number)
		return HV_OK;
	if (files->open)
		fclose(files->open);
	files->open = NULL;
	path = part_path(files->first, number);
	if (path)
		files->open = fopen(path, "rb");
	free(path);
	files->number = number;
	return files->open ? HV_OK : HV_EIO;
}

static enum hv_error read_part(struct files *files, u32 number, u64 offset, void *buf,
			       size_t length)
{
	enum hv_error err = open_part(files, number);

	if (err)
		return err;
	if (fseeko(files->open, (off_t)offset, SEEK_SET))
		return HV_EIO;
	return fread(buf, 1, length, files->open) == length ? HV_OK : HV_EIO;
}

static enum hv_error read_files(void *ctx, u64 offset, void *buf, size_t length)
{
	struct files *files = ctx;
	enum hv_error err = HV_OK;
	u8 *to = buf;

	while (!err && length) {
		u64 at = offset % files->part_bytes;
		size_t piece = min_u64(length, files->part_bytes - at);

		err = read_part(files, (u32)(offset / files->part_bytes), at, to, piece);
		offset += piece;
		to += piece;
		length -= piece;
	}
	return err;
}

/* Adds the size of file @number, before which there must be whole ones. */
static enum hv_error add_part(struct files *files, u32 number, char *why)
{
	u64 before = files->io.size - (number - 1) * files->part_bytes;
	char *path = part_path(files->first, number);
	enum hv_error err = HV_OK;
	struct stat st;

	if (!path)
		return store_refuse(
			why,
			"it is in %u files, but this one's name doesn't end with %s, as "
			"it must to find the others",
			files->count, FIRST_PART);
	if (before != files->part_bytes)
		err = store_refuse(why, "file %u of %u has %" PRIu64 " bytes, must have %" PRIu64,
				   number, files->count, before, files->part_bytes);
	else if (stat(path, &st))
		err = store_refuse(why, "file %u of %u, %.80s, is missing", number + 1,
				   files->count, path);
	else
		files->io.size += (u64)st.st_size;
	free(path);
	return err;
}

/* The header, from the first file; then it says which other files there must be. */
static enum hv_error read_header(struct snap *snap)
{
	struct files *files = &snap->files;
	const struct store_header *header = &snap->header;
	enum hv_error err = store_read_header(&files->io, &snap->header, snap->why);

	/* All that can be wrong with a good header is the size. */
	if (!header->length || header->length <= header->part_bytes)
		return err;
	if ((header->length - 1) / header->part_bytes >= PART_MAX)
		return store_refuse(snap->why, "it is in more than %u files", PART_MAX);
	files->part_bytes = header->part_bytes;
	files->count = (u32)((header->length - 1) / header->part_bytes) + 1;
	for (u32 i = 1; i < files->count; i++) {
		err = add_part(files, i, snap->why);
		if (err)
			return err;
	}
	return store_read_header(&files->io, &snap->header, snap->why);
}

/* ---- records ---- */

/* Offsets in the packed fields of `layout`, and their bytes. */
#define LAYOUT_SLOTS   8
#define LAYOUT_SLOT    24
#define LAYOUT_BYTES   (LAYOUT_SLOTS + MEM_SLOT_MAX * LAYOUT_SLOT)
#define LAYOUT_VERSION 1u

static u32 get_u32(const u8 *from)
{
	u32 value;

	memcpy(&value, from, sizeof(value));
	return value;
}

static u64 get_u64(const u8 *from)
{
	u64 value;

	memcpy(&value, from, sizeof(value));
	return value;
}

static enum hv_error take_config(struct snap *snap, const u8 *fields)
{
	const char *why;

	state_unpack(&vm_config_state, &snap->config, fields);
	if (vm_config_state.check(&snap->config, &why))
		return store_refuse(snap->why, "record config.0: %s", why);
	if (strcmp(snap->config.name, snap->header.vm))
		return store_refuse(snap->why,
				    "record config.0: the VM is %s, and %s in the header",
				    snap->config.name, snap->header.vm);
	return HV_OK;
}

static bool overlaps(const struct mem_slot *a, const struct mem_slot *b)
{
	return a->base < b->base + b->length && b->base < a->base + a->length;
}

static enum hv_error take_slot(struct snap *snap, const u8 *from)
{
	struct mem_slot slot = {
		.base = get_u64(from),
		.length = get_u64(from + 8),
		.kind = (enum mem_kind)get_u32(from + 16),
	};

	if (slot.base % PAGE_SIZE || slot.length % PAGE_SIZE || !slot.length ||
	    slot.base >= BIT(48) || slot.length > BIT(48) - slot.base ||
	    get_u32(from + 16) > MEM_RESERVED || get_u32(from + 20))
		return store_refuse(snap->why, "record layout.0: slot %u is none",
				    snap->slot_count);
	for (u32 i = 0; i < snap->slot_count; i++)
		if (overlaps(&snap->slots[i], &slot))
			return store_refuse(snap->why, "record layout.0: slot %u lies in slot %u",
					    snap->slot_count, i);
	snap->slots[snap->slot_count++] = slot;
	return HV_OK;
}

static enum hv_error take_layout(struct snap *snap, const u8 *fields)
{
	static const u8 zeros[LAYOUT_SLOT];
	u32 count = get_u32(fields);
	enum hv_error err = HV_OK;

	if (count > MEM_SLOT_MAX || get_u32(fields + 4))
		return store_refuse(snap->why,
				    "record layout.0: it says that it has %u slots, %u is the "
				    "most",
				    count, MEM_SLOT_MAX);
	for (u32 i = 0; !err && i < MEM_SLOT_MAX; i++) {
		const u8 *slot = fields + LAYOUT_SLOTS + i * LAYOUT_SLOT;

		if (i < count)
			err = take_slot(snap, slot);
		else if (memcmp(slot, zeros, LAYOUT_SLOT))
			err = store_refuse(snap->why,
					   "record layout.0: slot %u is not in use, and not "
					   "zeros",
					   i);
	}
	return err;
}

/* A record of the meta area that this program reads, of instance 0. */
struct known {
	const char *type;
	u32 version;
	u32 length;
	enum hv_error (*take)(struct snap *snap, const u8 *fields);
};

static bool is_of(const struct record_header *header, const char *type, u32 instance)
{
	return header->instance == instance && !strncmp(header->type, type, sizeof(header->type));
}

static enum hv_error take_known(struct snap *snap, const struct known *k)
{
	const u8 *area = snap->area[STORE_META];
	struct record_header header;
	const u8 *fields;
	size_t offset = 0;

	while (offset < snap->header.meta_length) {
		enum hv_error err = records_next(area, snap->header.meta_length, &offset, &header,
						 &fields, snap->why);

		if (err)
			return err;
		if (!is_of(&header, k->type, 0))
			continue;
		if (header.version != k->version) {
			store_refuse(snap->why,
				     "record %s.0: is of version %u, this program reads version %u",
				     k->type, header.version, k->version);
			return HV_EUNSUPPORTED;
		}
		if (header.length != k->length)
			return store_refuse(snap->why, "record %s.0: is %u bytes, must be %u",
					    k->type, header.length, k->length);
		return k->take(snap, fields);
	}
	return store_refuse(snap->why, "record %s.0: is missing", k->type);
}

/* Printable without spaces, then zeros, one at least. */
static bool type_is_good(const struct record_header *header)
{
	size_t length = 0;

	while (length < sizeof(header->type) && header->type[length] > ' ' &&
	       header->type[length] <= '~')
		length++;
	for (size_t i = length; i < sizeof(header->type); i++)
		if (header->type[i])
			return false;
	return length && length < sizeof(header->type);
}

static u32 area_length(const struct snap *snap, enum store_area area)
{
	return area == STORE_META ? snap->header.meta_length : snap->header.state_length;
}

/* Whether there is a record like @header in the first @end bytes of the area. */
static bool came_before(const u8 *area, size_t end, const struct record_header *header)
{
	struct record_header earlier;
	char why[RECORDS_WHY_MAX];
	const u8 *fields;
	size_t offset = 0;

	while (offset < end && !records_next(area, end, &offset, &earlier, &fields, why))
		if (is_of(header, earlier.type, earlier.instance))
			return true;
	return false;
}

static enum hv_error check_records(struct snap *snap, enum store_area area)
{
	const char *name = area == STORE_META ? "meta" : "state";
	size_t length = area_length(snap, area), offset = 0;

	for (u32 count = 0; offset < length; count++) {
		size_t begin = offset;
		struct record_header header;
		const u8 *fields;
		enum hv_error err = records_next(snap->area[area], length, &offset, &header,
						 &fields, snap->why);

		if (err)
			return err;
		if (count == RECORD_MAX)
			return store_refuse(snap->why, "there are more than %u %s records",
					    RECORD_MAX, name);
		if (!type_is_good(&header))
			return store_refuse(snap->why,
					    "the type of the %s record at byte %zu is not legal",
					    name, begin);
		if (came_before(snap->area[area], begin, &header))
			return store_refuse(snap->why, "record %s.%u: there are two of it",
					    header.type, header.instance);
	}
	return HV_OK;
}

/* ---- all of it ---- */

static enum hv_error read_area(struct snap *snap, enum store_area area)
{
	size_t size = store_area_size(&snap->header, area);

	snap->area[area] = malloc(size ? size : 1);
	if (!snap->area[area])
		abort();
	return store_read_area(&snap->files.io, &snap->header, area, snap->area[area], snap->why);
}

/* The header and the records. */
static enum hv_error read_records(struct snap *snap)
{
	const struct known known[] = {
		{vm_config_state.name, vm_config_state.version,
		 (u32)state_packed_size(&vm_config_state), take_config},
		{"layout", LAYOUT_VERSION, LAYOUT_BYTES, take_layout},
	};
	enum hv_error err = read_header(snap);

	for (u32 area = STORE_META; !err && area <= STORE_STATE; area++) {
		err = read_area(snap, area);
		if (!err)
			err = check_records(snap, area);
	}
	for (u32 i = 0; !err && i < ARRAY_COUNT(known); i++)
		err = take_known(snap, &known[i]);
	return err;
}

static enum hv_error take_page(void *ctx, gpa_t gpa, const void *page, char *why)
{
	struct snap *snap = ctx;

	(void)page;
	for (u32 i = 0; i < snap->slot_count; i++)
		if (gpa.v - snap->slots[i].base < snap->slots[i].length)
			return HV_OK;
	return store_refuse(why, "page at %" PRIx64 "h lies outside of the VM's memory", gpa.v);
}

static enum hv_error read_pages(struct snap *snap)
{
	u8 *buffer = aligned_alloc(PAGE_SIZE, STORE_CHUNK_BYTES);
	struct store_reader reader;
	enum hv_error err = HV_OK;

	if (!buffer)
		abort();
	store_read_begin(&reader, &snap->files.io, &snap->header);
	while (!err && reader.pages_left)
		err = store_read_chunk(&reader, buffer, take_page, snap, snap->why);
	free(buffer);
	return err;
}

/* ---- showing ---- */

static void show(const char *what, const char *value)
{
	printf("%-14s%s\n", what, value);
}

static void show_time(u64 wall)
{
	time_t seconds = (time_t)min_u64(wall, INT64_MAX);
	char text[64] = "unknown";
	struct tm tm;

	if (wall && gmtime_r(&seconds, &tm))
		strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S UTC", &tm);
	show("taken", text);
}

/* @text: room for two digits a byte, and an end. */
static void id_text(const u8 *id, char *text)
{
	for (u32 i = 0; i < STORE_ID; i++)
		snprintf(text + 2 * i, 3, "%02x", id[i]);
}

static void show_parent(const struct store_header *header)
{
	static const u8 none[STORE_ID];
	char id[2 * STORE_ID + 1], text[2 * STORE_ID + STORE_NAME + 4];

	id_text(header->parent, id);
	snprintf(text, sizeof(text), "%s (%s)", header->parent_name[0] ? header->parent_name : "?",
		 id);
	show("parent", memcmp(header->parent, none, STORE_ID) ? text : "none, the VM was booted");
}

static void show_header(const struct snap *snap)
{
	const struct store_header *header = &snap->header;
	char text[128];

	show("name", header->name);
	show("VM", header->vm);
	show("architecture", header->arch);
	snprintf(text, sizeof(text), "version %u, written by anew %s", header->version,
		 header->build);
	show("format", text);
	show_time(header->wall);
	id_text(header->id, text);
	show("id", text);
	show_parent(header);
	snprintf(text, sizeof(text), "%" PRIu64, header->generation);
	show("generation", text);
	snprintf(text, sizeof(text), "%" PRIu64 " in %u file%s", header->length, snap->files.count,
		 snap->files.count == 1 ? "" : "s");
	show("bytes", text);
	snprintf(text, sizeof(text), "%" PRIu64 " of 4 KiB, all others are zeros",
		 header->page_count);
	show("pages", text);
	snprintf(text, sizeof(text), "%" PRIu64 " MiB", snap->config.memory >> 20);
	show("memory", text);
}

static void show_records(struct snap *snap, enum store_area area)
{
	size_t length = area_length(snap, area), offset = 0;
	struct record_header header;
	const u8 *fields;

	while (offset < length &&
	       !records_next(snap->area[area], length, &offset, &header, &fields, snap->why)) {
		char name[sizeof(header.type) + 11];

		snprintf(name, sizeof(name), "%s.%u", header.type, header.instance);
		printf("%-27s%8u%10u\n", name, header.version, header.length);
	}
}

static void show_all(struct snap *snap)
{
	show_header(snap);
	printf("\n%-27s%8s%10s\n", "record", "version", "bytes");
	show_records(snap, STORE_META);
	show_records(snap, STORE_STATE);
}

static bool open_first(struct files *files, const char *path)
{
	struct stat st;

	*files = (struct files){.first = path, .part_bytes = UINT64_MAX, .count = 1};
	if (open_part(files, 0) || stat(path, &st)) {
		perror(path);
		return false;
	}
	if (!S_ISREG(st.st_mode)) {
		fprintf(stderr, "%s: is not a file\n", path);
		return false;
	}
	files->io = (struct store_io){
		.size = (u64)st.st_size,
		.read = read_files,
		.ctx = files,
	};
	return true;
}

static int run(struct snap *snap, const char *path, bool whole)
{
	enum hv_error err;

	if (!open_first(&snap->files, path))
		return TROUBLE;
	err = read_records(snap);
	if (!err && whole)
		err = read_pages(snap);
	if (err) {
		fprintf(stderr, "%s: %s\n", path, snap->why);
		return err == HV_EIO ? TROUBLE : REFUSED;
	}
	if (whole)
		printf("%s: whole\n", path);
	else
		show_all(snap);
	return WHOLE;
}

int main(int argc, char **argv)
{
	static struct snap snap;
	int status;

	if (argc != 3 || (strcmp(argv[1], "info") && strcmp(argv[1], "check"))) {
		fprintf(stderr,
			"usage: %s info FILE    what the snapshot NAME~SLOT.snap holds\n"
			"       %s check FILE   whether all of it is as it was written\n",
			argv[0], argv[0]);
		return TROUBLE;
	}
	status = run(&snap, argv[2], !strcmp(argv[1], "check"));
	if (snap.files.open)
		fclose(snap.files.open);
	free(snap.area[STORE_META]);
	free(snap.area[STORE_STATE]);
	return status;
}
