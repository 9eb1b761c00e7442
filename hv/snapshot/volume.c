/* SPDX-License-Identifier: MIT */
/*
 * A snapshot is the file NAME~SLOT.snap, which begins with its header, and goes on in
 * NAME~SLOT.p001 and so on. A name has two slots. A new snapshot is written into the slot that does
 * not count, and counts itself as soon as its header is on the medium, which has the higher
 * generation; only then does the other slot's go. What is deleted loses its header's file first,
 * and so is nothing from then on, whatever is left of it.
 */
#include <hv/log.h>
#include <internal/volume.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define SLOTS     2u
#define PARTS_MAX 999u /* after the first, three digits */
#define NAMES_MAX 256u
/* For folders, and for the ends of clusters that files don't fill. */
#define SPACE_SLACK MIB(1)
#define FILE_MAX    (CONFIG_NAME_MAX + 8)
#define PATH_MAX    (CONFIG_PATH_MAX + FILE_MAX)

/* What there is of one name. */
struct files {
	char name[CONFIG_NAME_MAX]; /* as the header's file has it, if there is one */
	bool there[SLOTS];          /* the header's file */
	u32 last[SLOTS];            /* the highest number of a further part; 0: none */
	u64 size[SLOTS];            /* of the header's file, bytes */
};

struct scan {
	const char *name; /* the one that is looked for; NULL: all */
	struct files *files;
	u32 count, max;
	bool more;
};

static char folder[CONFIG_PATH_MAX] = VOLUME_FOLDER;
static u64 part_bytes = VOLUME_PART_BYTES;
static u32 writing; /* snapshots, just now: they look like unfinished ones */

HV_PRINTF(3, 4)
static enum hv_error refuse(enum hv_error err, char *why, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(why, VOLUME_WHY_MAX, format, args);
	va_end(args);
	return err;
}

/* ---- names ---- */

/*
 * The ends have more than three characters: a file system that makes short names for long ones,
 * such as BEFORE~1.001 for before-update~0.001, may take a name of ours that could be a short one
 * for another file's. EDK2's FAT does (FatPkg/EnhancedFatDxe/DirectoryManage.c, FatSearchODir()).
 */
static void file_name(char file[FILE_MAX], const char *name, u32 slot, u32 part)
{
	if (part)
		snprintf(file, FILE_MAX, "%s~%u.p%03u", name, slot, part);
	else
		snprintf(file, FILE_MAX, "%s~%u.snap", name, slot);
}

static void file_path(char path[PATH_MAX], const char *name, u32 slot, u32 part)
{
	size_t length = strlen(folder);
	bool root = !length || folder[length - 1] == ':';
	char file[FILE_MAX];

	file_name(file, name, slot, part);
	snprintf(path, PATH_MAX, "%s%s%s", folder, root ? "" : "/", file);
}

/* @part: 0 for the header's file. False for a file that is none of ours. */
static bool parse_file(const char *file, char name[CONFIG_NAME_MAX], u32 *slot, u32 *part)
{
	const char *end = strrchr(file, '~');
	size_t length = end ? (size_t)(end - file) : 0;

	if (!length || length >= CONFIG_NAME_MAX || strlen(end) != strlen("~0.p001"))
		return false;
	memcpy(name, file, length);
	name[length] = 0;
	*slot = (u32)(end[1] - '0');
	*part = 0;
	if (!config_name_ok(name) || *slot >= SLOTS || end[2] != '.')
		return false;
	if (!strcasecmp(end + 3, "snap"))
		return true;
	if (end[3] != 'p' && end[3] != 'P')
		return false;
	for (end += 4; *end >= '0' && *end <= '9'; end++)
		*part = *part * 10 + (u32)(*end - '0');
	return !*end && *part;
}

/* ---- what is there ---- */

static struct files *find_or_add(struct scan *scan, const char *name)
{
	struct files *files;

	for (u32 i = 0; i < scan->count; i++)
		if (!strcasecmp(scan->files[i].name, name))
			return &scan->files[i];
	if (scan->count == scan->max) {
		scan->more = true;
		return NULL;
	}
	files = &scan->files[scan->count++];
	*files = (struct files){0};
	memcpy(files->name, name, strlen(name) + 1);
	return files;
}

static void scan_file(void *ctx, const char *file, u64 size)
{
	struct scan *scan = ctx;
	char name[CONFIG_NAME_MAX];
	struct files *files;
	u32 slot, part;

	if (!parse_file(file, name, &slot, &part) || (scan->name && strcasecmp(scan->name, name)))
		return;
	files = find_or_add(scan, name);
	if (!files)
		return;
	if (part) {
		files->last[slot] = (u32)max_u64(files->last[slot], part);
		return;
	}
	memcpy(files->name, name, sizeof(name));
	files->there[slot] = true;
	files->size[slot] = size;
}

static enum hv_error scan_folder(struct scan *scan)
{
	enum hv_error err = host_folder_read(folder, scan_file, scan);
	u64 bytes;

	if (err != HV_ENOT_FOUND)
		return err;
	/* Either that folder, or its whole volume. */
	err = host_volume_free(folder, &bytes);
	return err == HV_EDENIED ? HV_OK : err;
}

static enum hv_error find_files(const char *name, struct files *files, char *why)
{
	struct scan scan = {.name = name, .files = files, .max = 1};
	enum hv_error err;

	*files = (struct files){0};
	err = scan_folder(&scan);
	if (err == HV_ENOT_FOUND)
		return refuse(
			err, why,
			"there is no volume of %s; plug it in where it was, or " VOLUME_ELSEWHERE,
			folder);
	if (err)
		return refuse(err, why, "the folder %s can't be read: %s; " VOLUME_ELSEWHERE,
			      folder, hv_error_text(err));
	return HV_OK;
}

/* ---- the bytes of one snapshot ---- */

static void close_files(struct volume_file *file)
{
	if (file->part)
		host_file_close(file->part);
	if (file->first)
		host_file_close(file->first);
	file->part = file->first = NULL;
}

static enum hv_error flush(void *ctx)
{
	struct volume_file *file = ctx;
	enum hv_error err = file->part ? host_file_flush(file->part) : HV_OK;

	return err ? err : host_file_flush(file->first);
}

/* Takes part @number in hand, which is not the first. */
static enum hv_error take_part(struct volume_file *file, u64 number)
{
	char path[PATH_MAX];
	enum hv_error err = HV_OK;

	if (number > PARTS_MAX)
		return HV_ETOO_BIG;
	if (file->writing && number != file->parts_made)
		return HV_EINVALID;
	if (file->part) {
		if (file->writing)
			err = host_file_flush(file->part);
		host_file_close(file->part);
		file->part = NULL;
	}
	if (err)
		return err;
	file_path(path, file->name, file->slot, (u32)number);
	err = host_file_open(path, file->writing ? HOST_FILE_CREATE : HOST_FILE_READ, &file->part);
	if (err) {
		file->part = NULL;
		return err;
	}
	file->part_number = (u32)number;
	file->parts_made++;
	return HV_OK;
}

/* The file where byte @offset is, and up to how many of @length it has from there. */
static enum hv_error locate(struct volume_file *file, u64 *offset, size_t *length,
			    struct host_file **part)
{
	u64 number = *offset / file->part_bytes;
	enum hv_error err = HV_OK;

	*offset %= file->part_bytes;
	*length = min_u64(*length, file->part_bytes - *offset);
	if (number && (!file->part || number != file->part_number))
		err = take_part(file, number);
	*part = number ? file->part : file->first;
	return err;
}

static enum hv_error read(void *ctx, u64 offset, void *buf, size_t length)
{
	struct volume_file *file = ctx;
	u8 *to = buf;

	while (length) {
		struct host_file *part;
		u64 from = offset;
		size_t chunk = length;
		enum hv_error err = locate(file, &from, &chunk, &part);

		if (!err)
			err = host_file_read_at(part, from, to, chunk);
		if (err)
			return err;
		offset += chunk;
		to += chunk;
		length -= chunk;
	}
	return HV_OK;
}

static enum hv_error write(void *ctx, u64 offset, const void *buf, size_t length)
{
	struct volume_file *file = ctx;
	bool begins = !file->written;
	const u8 *from = buf;

	while (length) {
		struct host_file *part;
		u64 to = offset;
		size_t chunk = length;
		enum hv_error err = locate(file, &to, &chunk, &part);

		if (!err)
			err = host_file_write_at(part, to, from, chunk);
		file->lost = err == HV_EIO;
		if (err)
			return err;
		offset += chunk;
		from += chunk;
		length -= chunk;
		file->written = max_u64(file->written, offset);
	}
	/* Its place on the medium may have the header of a deleted snapshot, which must not show.
	 */
	return begins ? flush(file) : HV_OK;
}

/* ---- which one counts ---- */

static enum hv_error part_size(const struct files *files, u32 slot, u32 part, u64 *size)
{
	char path[PATH_MAX];

	if (!part) {
		*size = files->size[slot];
		return HV_OK;
	}
	file_path(path, files->name, slot, part);
	return host_file_size(path, size);
}

/* @header is sound in itself. */
static enum hv_error check_parts(const struct files *files, u32 slot,
				 const struct store_header *header, char *why)
{
	u64 left = header->length, size = 0;
	char file[FILE_MAX];

	if (!header->part_bytes || (left - 1) / header->part_bytes > PARTS_MAX)
		return refuse(HV_ECORRUPT, why, "%s is of parts of %llu bytes, which can't be",
			      files->name, (unsigned long long)header->part_bytes);
	for (u32 part = 0; left; part++) {
		u64 wanted = min_u64(left, header->part_bytes);
		enum hv_error err = part_size(files, slot, part, &size);

		file_name(file, files->name, slot, part);
		if (err == HV_ENOT_FOUND)
			return refuse(HV_ECORRUPT, why, "%s is missing", file);
		if (err)
			return refuse(err, why, "%s can't be read: %s", file, hv_error_text(err));
		if (size != wanted)
			return refuse(HV_ECORRUPT, why, "%s is %llu bytes, must be %llu", file,
				      (unsigned long long)size, (unsigned long long)wanted);
		left -= wanted;
	}
	return HV_OK;
}

static enum hv_error check_slot(struct volume_file *file, const struct files *files,
				struct store_header *header, char *why)
{
	char text[STORE_WHY_MAX] = "", name[FILE_MAX];
	enum hv_error err;

	file->io.size = files->size[file->slot];
	err = store_read_header(&file->io, header, text);
	/* Otherwise it is sound, and only longer than its first file. */
	if (err && (err != HV_ECORRUPT || !header->length)) {
		file_name(name, files->name, file->slot, 0);
		return refuse(err, why, "%s: %s", name, text);
	}
	err = check_parts(files, file->slot, header, why);
	if (err)
		return err;
	file->io.size = header->length;
	file->part_bytes = header->part_bytes;
	return HV_OK;
}

/* Opens the snapshot in @slot for reading, if it is one; it is closed again after an error. */
static enum hv_error open_slot(struct volume_file *file, const struct files *files, u32 slot,
			       struct store_header *header, char *why)
{
	char path[PATH_MAX];
	enum hv_error err;

	*file = (struct volume_file){
		.io = {.read = read, .ctx = file}, .slot = slot, .part_bytes = part_bytes};
	*header = (struct store_header){0};
	why[0] = 0;
	memcpy(file->name, files->name, sizeof(file->name));
	file_path(path, file->name, slot, 0);
	err = host_file_open(path, HOST_FILE_READ, &file->first);
	if (err) {
		file->first = NULL;
		return refuse(err, why, "%s can't be opened: %s", path, hv_error_text(err));
	}
	err = check_slot(file, files, header, why);
	if (err)
		close_files(file);
	return err;
}

/* Which of two is worth more, by how opening them ended. */
static u32 worth(enum hv_error err)
{
	switch (err) {
	case HV_OK:
		return 2;
	case HV_EUNSUPPORTED: /* a later version may have use for it */
		return 1;
	default:
		return 0;
	}
}

/* Whether it is known what is in a slot, by how opening it ended. */
static bool is_known(enum hv_error err)
{
	return err == HV_OK || err == HV_ECORRUPT || err == HV_EUNSUPPORTED;
}

struct choice {
	u32 slot;    /* that counts */
	u64 highest; /* generation that there is */
	bool stale;  /* it is whole, and what is in the other slot is nothing beside it */
};

/*
 * Of two that are there. An error when one of them can't be read: it may be the one that counts;
 * the choice is the other then.
 */
static enum hv_error choose(const struct files *files, struct volume_file *file,
			    struct store_header *header, struct choice *choice, char *why)
{
	u64 generation[SLOTS];
	u32 value[SLOTS];

	for (u32 slot = 0; slot < SLOTS; slot++) {
		enum hv_error err = open_slot(file, files, slot, header, why);

		close_files(file);
		if (!is_known(err)) {
			*choice = (struct choice){.slot = !slot};
			return err;
		}
		value[slot] = worth(err);
		generation[slot] = header->generation;
	}
	choice->highest = max_u64(generation[0], generation[1]);
	choice->slot = value[0] != value[1] ? value[1] > value[0] : generation[1] > generation[0];
	/* A damaged one of a higher generation may only lack a file that is elsewhere. */
	choice->stale = value[choice->slot] == worth(HV_OK) &&
			value[!choice->slot] != worth(HV_EUNSUPPORTED) &&
			generation[!choice->slot] < generation[choice->slot];
	return HV_OK;
}

/* Opens the one that counts. HV_ENOT_FOUND: there is none, and no @why. */
static enum hv_error open_counting(struct volume_file *file, const struct files *files,
				   struct store_header *header, struct choice *choice, char *why)
{
	enum hv_error err = HV_OK;

	*choice = (struct choice){.slot = files->there[1]};
	*header = (struct store_header){0};
	if (!files->there[0] && !files->there[1])
		return HV_ENOT_FOUND;
	if (files->there[0] && files->there[1])
		err = choose(files, file, header, choice, why);
	if (err)
		return err;
	err = open_slot(file, files, choice->slot, header, why);
	choice->highest = max_u64(choice->highest, header->generation);
	if (!files->there[!choice->slot])
		choice->stale = !err && files->last[!choice->slot];
	return err;
}

/* Bytes that are free. HV_EDENIED: nothing can be written. */
static enum hv_error free_space(u64 *room, char *why)
{
	enum hv_error err = host_volume_free(folder, room);

	if (err == HV_EDENIED)
		return refuse(err, why,
			      "the volume of %s is write-protected; end that, or " VOLUME_ELSEWHERE,
			      folder);
	if (err)
		return refuse(err, why, "the volume of %s can't be read: %s; " VOLUME_ELSEWHERE,
			      folder, hv_error_text(err));
	return HV_OK;
}

/* ---- deleting ---- */

static enum hv_error delete_slot(const struct files *files, u32 slot, char *why)
{
	/* Nor is there a name then. */
	if (!files->there[slot] && !files->last[slot])
		return HV_OK;
	for (u32 part = 0; part <= files->last[slot]; part++) {
		char path[PATH_MAX];
		enum hv_error err;

		file_path(path, files->name, slot, part);
		err = host_file_delete(path);
		if (err)
			return refuse(err, why,
				      "%s can't be deleted: %s; check its volume and try again",
				      path, hv_error_text(err));
	}
	return HV_OK;
}

enum hv_error volume_delete(const char *name, char *why)
{
	struct choice choice = {0};
	struct store_header header;
	struct volume_file file;
	struct files files;
	enum hv_error err;

	err = find_files(name, &files, why);
	if (err || strcmp(files.name, name))
		return err;
	/*
	 * An earlier one that does not count any more must not come back in between. What can't be
	 * read goes first: it can be deleted all the same.
	 */
	if (files.there[0] && files.there[1])
		(void)choose(&files, &file, &header, &choice, why);
	err = delete_slot(&files, !choice.slot, why);
	return err ? err : delete_slot(&files, choice.slot, why);
}

/* ---- the calls ---- */

void volume_init(const char *path)
{
	size_t length;

	snprintf(folder, sizeof(folder), "%s", path);
	for (length = strlen(folder); length && folder[length - 1] == '/'; length--)
		folder[length - 1] = 0;
}

void volume_set_part(u64 bytes)
{
	part_bytes = bytes;
}

static void warn_left(const char *name, const char *why)
{
	log_warn("snapshot %s: what an earlier one left stays until it is replaced or deleted: %s",
		 name, why);
}

/* Ends what a power cut kept from its end. */
static void delete_stale(const struct files *files, u32 slot)
{
	char why[VOLUME_WHY_MAX];
	u64 room;
	enum hv_error err = free_space(&room, why);

	if (err == HV_EDENIED)
		return;
	if (!err)
		err = delete_slot(files, slot, why);
	if (err)
		warn_left(files->name, why);
}

static void list_files(const struct scan *scan, volume_each *each, void *ctx)
{
	struct store_header header;

	for (u32 i = 0; i < scan->count; i++) {
		const struct files *files = &scan->files[i];
		char why[VOLUME_WHY_MAX] = "";
		struct volume_file file;
		struct choice choice;
		enum hv_error err;

		err = open_counting(&file, files, &header, &choice, why);
		if (!files->there[0] && !files->there[1])
			err = refuse(HV_ECORRUPT, why,
				     "its first file is missing, what is left is of no use; "
				     "`delete %s`",
				     files->name);
		if (!err)
			close_files(&file);
		if (!err && choice.stale && !writing)
			delete_stale(files, !choice.slot);
		each(ctx, files->name, &header, err, why);
	}
}

enum hv_error volume_list(volume_each *each, void *ctx)
{
	u32 pages = (u32)pages_of(NAMES_MAX * sizeof(struct files));
	struct scan scan = {.files = host_alloc_pages(pages), .max = NAMES_MAX};
	static bool warned;
	enum hv_error err;

	if (!scan.files)
		return HV_ENO_MEMORY;
	err = scan_folder(&scan);
	if (!err)
		list_files(&scan, each, ctx);
	if (scan.more && !warned)
		log_warn("%s has more than %u snapshots; the others are not listed", folder,
			 NAMES_MAX);
	warned |= scan.more;
	host_free_pages(scan.files, pages);
	return err;
}

enum hv_error volume_open(struct volume_file *file, const char *name, struct store_header *header,
			  char *why)
{
	struct files files;
	enum hv_error err = find_files(name, &files, why);
	struct choice choice;

	if (err)
		return err;
	if (strcmp(files.name, name) || (!files.there[0] && !files.there[1]))
		return refuse(HV_ENOT_FOUND, why, "there is no snapshot %.40s in %s", name, folder);
	return open_counting(file, &files, header, &choice, why);
}

void volume_move(struct volume_file *to, const struct volume_file *from)
{
	*to = *from;
	to->io.ctx = to;
}

static enum hv_error check_new(const struct files *files, const char *name, u64 bytes, char *why)
{
	if (!config_name_ok(name))
		return refuse(HV_EINVALID, why, "%.40s is no name for a snapshot; %s", name,
			      config_name_rule);
	if ((files->there[0] || files->there[1]) && strcmp(files->name, name))
		return refuse(HV_EEXISTS, why,
			      "there is a snapshot %s in %s, which is the same name to a file "
			      "system; choose another one",
			      files->name, folder);
	if (bytes / part_bytes >= PARTS_MAX)
		return refuse(HV_ETOO_BIG, why, "%llu MiB are too much for a snapshot",
			      (unsigned long long)(bytes / MIB(1)));
	return HV_OK;
}

/* Rounded up. */
static unsigned long long in_mib(u64 bytes)
{
	return ALIGN_UP(bytes, MIB(1)) / MIB(1);
}

static enum hv_error check_space(const char *name, u64 bytes, char *why)
{
	u64 needed = bytes + SPACE_SLACK, room = 0;
	enum hv_error err = free_space(&room, why);

	if (err)
		return err;
	if (room < needed)
		return refuse(
			HV_ENO_SPACE, why,
			"%s needs %llu MiB, and the volume of %s has %llu MiB free: %llu MiB "
			"are missing; `delete` a snapshot that is on it, or " VOLUME_ELSEWHERE,
			name, in_mib(needed), folder, (unsigned long long)(room / MIB(1)),
			in_mib(needed - room));
	return HV_OK;
}

/* With all folders above it. */
static enum hv_error make_folder(char *why)
{
	const char *end = strchr(folder, ':');
	char path[CONFIG_PATH_MAX];

	end = end ? end + 1 : folder;
	while (*end) {
		size_t name = strcspn(end, "/");
		enum hv_error err = HV_OK;

		end += name;
		snprintf(path, sizeof(path), "%.*s", (int)(end - folder), folder);
		if (name)
			err = host_folder_create(path);
		if (err)
			return refuse(err, why,
				      "the folder %s can't be made: %s; " VOLUME_ELSEWHERE, path,
				      hv_error_text(err));
		end += *end == '/';
	}
	return HV_OK;
}

/* What has none is left of a snapshot that was not written to its end. */
static bool has_header(const struct files *files, u32 slot)
{
	static const char none[sizeof(((struct store_header *)0)->magic)];
	char path[PATH_MAX], magic[sizeof(none)];

	if (!files->there[slot] || files->size[slot] < PAGE_SIZE)
		return false;
	file_path(path, files->name, slot, 0);
	return host_file_read(path, 0, magic, sizeof(magic)) || memcmp(magic, none, sizeof(none));
}

/* The slot for the new one, and its generation; nothing is changed yet. */
static enum hv_error choose_new(struct volume_file *file, const struct files *files, bool replace,
				u32 *slot, u64 *generation, char *why)
{
	struct store_header header;
	struct choice choice;
	enum hv_error err;

	*slot = 0;
	*generation = 1;
	if (!files->there[0] && !files->there[1])
		return HV_OK;
	err = open_counting(file, files, &header, &choice, why);
	if (!err)
		close_files(file);
	/* It can't be known which generation would be higher. */
	if (!is_known(err))
		return err;
	if (!replace && (has_header(files, 0) || has_header(files, 1)))
		return refuse(HV_EEXISTS, why,
			      "there is a snapshot %s in %s already; say --replace, or choose "
			      "another name",
			      files->name, folder);
	if (choice.highest == UINT64_MAX)
		return refuse(HV_ECORRUPT, why,
			      "%s can't be replaced, its generation is the last; `delete %s` first",
			      files->name, files->name);
	*slot = !choice.slot;
	*generation = choice.highest + 1;
	return HV_OK;
}

enum hv_error volume_create(struct volume_file *file, const char *name, u64 bytes, bool replace,
			    u64 *generation, char *why)
{
	char path[PATH_MAX];
	struct files files;
	enum hv_error err = find_files(name, &files, why);
	u64 room;
	u32 slot;

	if (!err)
		err = check_new(&files, name, bytes, why);
	/* Before anything is deleted: the firmware's words for that would be of no use. */
	if (!err)
		err = free_space(&room, why);
	if (!err)
		err = choose_new(file, &files, replace, &slot, generation, why);
	if (!err)
		err = delete_slot(&files, slot, why);
	if (!err)
		err = check_space(name, bytes, why);
	if (!err)
		err = make_folder(why);
	if (err)
		return err;
	*file = (struct volume_file){
		.io = {.read = read, .write = write, .flush = flush, .ctx = file},
		.slot = slot,
		.writing = true,
		.parts_made = 1,
		.part_bytes = part_bytes};
	memcpy(file->name, name, strlen(name) + 1);
	file_path(path, name, slot, 0);
	err = host_file_open(path, HOST_FILE_CREATE, &file->first);
	if (err)
		return refuse(err, why, "%s can't be made: %s; " VOLUME_ELSEWHERE, path,
			      hv_error_text(err));
	writing++;
	return HV_OK;
}

void volume_close(struct volume_file *file, bool whole)
{
	char why[VOLUME_WHY_MAX];
	struct files files;
	enum hv_error err;

	close_files(file);
	if (!file->writing)
		return;
	writing--;
	/* Firmware may try for a long time to reach a medium that is gone. */
	if (file->lost)
		err = refuse(HV_EIO, why, "its volume can't be reached");
	else
		err = find_files(file->name, &files, why);
	if (!err)
		err = delete_slot(&files, whole ? !file->slot : file->slot, why);
	if (err)
		warn_left(file->name, why);
}
