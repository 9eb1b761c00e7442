/* SPDX-License-Identifier: MIT */
#include "host_files.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define FILES_MAX 512
#define SECTOR    512u

/* One that is gone keeps its place on the medium, for the next of its name. */
struct file {
	char path[256];
	char alias[256]; /* the path with the short name; empty: the name is short enough */
	bool there, folder;
	u8 *now;    /* as calls see it */
	u8 *medium; /* as it is after a power cut */
	u64 size, medium_size, room;
};

struct host_file {
	struct file *file;
	bool writable;
};

struct host_files host_files;
static struct file files[FILES_MAX];
static u32 file_count;
static u32 random_state;
static u32 open_count;

static u32 random_next(void)
{
	random_state = random_state * 1664525u + 1013904223u;
	return random_state >> 8;
}

/* ---- the medium ---- */

u32 host_files_open(void)
{
	return open_count;
}

void host_files_reset(void)
{
	for (u32 i = 0; i < file_count; i++) {
		free(files[i].now);
		free(files[i].medium);
	}
	memset(files, 0, sizeof(files));
	file_count = 0;
	host_files = (struct host_files){.room = GIB(64), .full_after = UINT64_MAX};
}

static struct file *find_long(const char *path)
{
	for (u32 i = 0; i < file_count; i++)
		if (!strcasecmp(files[i].path, path))
			return &files[i];
	return NULL;
}

static struct file *find_short(const char *path)
{
	for (u32 i = 0; i < file_count; i++)
		if (files[i].there && !strcasecmp(files[i].alias, path))
			return &files[i];
	return NULL;
}

static struct file *find(const char *path)
{
	struct file *file = find_long(path), *other;

	if (file && file->there)
		return file;
	other = find_short(path);
	return other ? other : file;
}

static const char *name_of(const char *path)
{
	const char *end = path + strlen(path);

	while (end > path && !strchr(":/", end[-1]))
		end--;
	return end;
}

/* Six characters of the name, a number, three of what is behind its last dot. */
static void give_alias(struct file *file)
{
	const char *name = name_of(file->path), *dot = strrchr(name, '.');
	size_t length = dot ? (size_t)(dot - name) : strlen(name), kept = 0;
	char begin[7] = "";

	file->alias[0] = 0;
	if (length <= 8 && strlen(name) - length <= 4 && !memchr(name, '.', length))
		return;
	for (size_t i = 0; i < length && kept < 6; i++)
		if (name[i] != '.')
			begin[kept++] = (char)toupper(name[i]);
	for (u32 number = 1;; number++) {
		char path[256];

		snprintf(path, sizeof(path), "%.*s%s~%u%.4s", (int)(name - file->path), file->path,
			 begin, number, dot ? dot : "");
		if (!find(path) || !find(path)->there) {
			strcpy(file->alias, path);
			return;
		}
	}
}

static struct file *make(const char *path, bool folder)
{
	struct file *file = find_long(path);

	if (!file) {
		if (file_count == FILES_MAX || strlen(path) >= sizeof(file->path))
			abort();
		file = &files[file_count++];
	}
	strcpy(file->path, path);
	if (!file->there)
		give_alias(file);
	file->there = true;
	file->folder = folder;
	file->size = file->medium_size = 0;
	return file;
}

static void grow(struct file *file, u64 size)
{
	u64 room = ALIGN_UP(max_u64(size, 2 * file->room), SECTOR);

	if (size <= file->room)
		return;
	file->now = realloc(file->now, room);
	file->medium = realloc(file->medium, room);
	if (!file->now || !file->medium)
		abort();
	memset(file->now + file->room, 0, room - file->room);
	memset(file->medium + file->room, 0, room - file->room);
	file->room = room;
}

static void store(struct file *file, u64 offset, const void *bytes, u64 length)
{
	grow(file, offset + length);
	if (length)
		memcpy(file->now + offset, bytes, length);
	file->size = max_u64(file->size, offset + length);
}

static void settle(struct file *file)
{
	if (file->size)
		memcpy(file->medium, file->now, file->size);
	file->medium_size = file->size;
}

static void lose(struct file *file)
{
	u64 low = file->medium_size / SECTOR, high = ALIGN_UP(file->size, SECTOR) / SECTOR;
	u32 kind = random_next() % 3, kept = random_next() % 4;

	/* None of 3 sectors, all 3, or one or two. */
	for (u64 at = 0; at < file->size; at += SECTOR)
		if (random_next() % 3 < kept)
			memcpy(file->medium + at, file->now + at, SECTOR);
	/* Its new length, the old one, or between: clusters are added in turn. */
	if (kind == 0)
		file->medium_size = file->size;
	else if (kind == 1 && high > low)
		file->medium_size =
			min_u64(file->size, (low + random_next() % (high - low + 1)) * SECTOR);
}

void host_files_reboot(void)
{
	random_state = host_files.seed;
	for (u32 i = 0; i < file_count; i++) {
		struct file *file = &files[i];

		if (!file->there || file->folder)
			continue;
		if (host_files.loss == HOST_FILES_KEEP)
			settle(file);
		else
			lose(file);
		if (file->medium_size)
			memcpy(file->now, file->medium, file->medium_size);
		file->size = file->medium_size;
	}
	host_files = (struct host_files){.room = host_files.room, .full_after = UINT64_MAX};
}

/* ---- looking at it ---- */

u8 *host_files_bytes(const char *path, u64 *size)
{
	struct file *file = find(path);

	if (!file || !file->there || file->folder)
		return NULL;
	*size = file->size;
	return file->now;
}

void host_files_put(const char *path, const void *bytes, u64 size)
{
	const char *end = strrchr(path, '/');
	char folder[256] = "";
	struct file *file;

	if (end) {
		memcpy(folder, path, (size_t)(end - path));
		make(folder, true);
	}
	file = make(path, false);
	store(file, 0, bytes, size);
	settle(file);
}

u32 host_files_count(void)
{
	u32 count = 0;

	for (u32 i = 0; i < file_count; i++)
		count += files[i].there && !files[i].folder;
	return count;
}

/* ---- the calls ---- */

/* Begins a step; *@half: the power goes in its midst, and it may be done or not. */
static enum hv_error step(bool *half)
{
	*half = false;
	if (host_files.off)
		return HV_EIO;
	if (++host_files.steps != host_files.cut_at)
		return HV_OK;
	random_state = host_files.seed ^ host_files.steps;
	host_files.off = true;
	*half = random_next() % 2;
	return HV_EIO;
}

static enum hv_error check_volume(const char *path)
{
	return strchr(path, ':') && strncasecmp(path, "DATA:", 5) ? HV_ENOT_FOUND : HV_OK;
}

/* Whether a file or folder of this name can be made. */
static enum hv_error check_parent(const char *path)
{
	const char *end = strrchr(path, '/');
	char parent[256] = "";
	struct file *folder;

	if (host_files.write_protected)
		return HV_EDENIED;
	if (!end)
		return HV_OK;
	memcpy(parent, path, (size_t)(end - path));
	folder = find(parent);
	return folder && folder->there && folder->folder ? HV_OK : HV_ENOT_FOUND;
}

enum hv_error host_file_open(const char *path, enum host_file_mode mode, struct host_file **out)
{
	struct file *file;
	bool half;
	enum hv_error cut = step(&half), err = check_volume(path);

	if (cut && !half)
		return cut;
	file = find(path);
	if (!err && mode == HOST_FILE_CREATE) {
		err = check_parent(path);
		if (!err && file && file->there && file->folder)
			err = HV_EDENIED;
		if (!err && file && file != find_long(path))
			file->there = false;
		if (!err)
			file = make(path, false);
	} else if (!err && (!file || !file->there || file->folder)) {
		err = HV_ENOT_FOUND;
	}
	if (err || cut)
		return err ? err : cut;
	*out = malloc(sizeof(**out));
	if (!*out)
		abort();
	**out = (struct host_file){file, mode == HOST_FILE_CREATE};
	open_count++;
	return HV_OK;
}

void host_file_close(struct host_file *file)
{
	open_count--;
	free(file);
}

enum hv_error host_file_read_at(struct host_file *file, u64 offset, void *buf, size_t length)
{
	const struct file *f = file->file;
	bool half;
	enum hv_error err = step(&half);

	if (err)
		return err;
	if (host_files.steps == host_files.bad_read_at || !f->there || offset > f->size ||
	    length > f->size - offset)
		return HV_EIO;
	if (length)
		memcpy(buf, f->now + offset, length);
	return HV_OK;
}

enum hv_error host_file_write_at(struct host_file *file, u64 offset, const void *buf, size_t length)
{
	struct file *f = file->file;
	bool half;
	enum hv_error err = step(&half);

	if (!file->writable || !f->there || offset > f->size)
		return HV_EINVALID;
	if (err) {
		if (half)
			store(f, offset, buf, random_next() % (length + 1));
		return err;
	}
	if (length > host_files.full_after)
		return HV_ENO_SPACE;
	if (host_files.full_after != UINT64_MAX)
		host_files.full_after -= length;
	store(f, offset, buf, length);
	return HV_OK;
}

enum hv_error host_file_flush(struct host_file *file)
{
	bool half;
	enum hv_error err = step(&half);

	if (!err || half)
		settle(file->file);
	return err;
}

enum hv_error host_file_size(const char *path, u64 *size)
{
	const struct file *file = find(path);
	bool half;
	enum hv_error err = step(&half);

	if (err)
		return err;
	if (check_volume(path) || !file || !file->there || file->folder)
		return HV_ENOT_FOUND;
	*size = file->size;
	return HV_OK;
}

enum hv_error host_file_read(const char *path, u64 offset, void *buf, size_t length)
{
	struct host_file *file;
	enum hv_error err = host_file_open(path, HOST_FILE_READ, &file);

	if (err)
		return err;
	err = host_file_read_at(file, offset, buf, length);
	host_file_close(file);
	return err;
}

enum hv_error host_file_delete(const char *path)
{
	struct file *file = find(path);
	bool half;
	enum hv_error err = step(&half);

	if (err && !half)
		return err;
	if (check_volume(path))
		return HV_OK;
	/* As EDK2's FAT: it is opened for writing, which is refused before it is looked for. */
	if (host_files.write_protected)
		return HV_EDENIED;
	if (file && file->there) {
		if (file->folder)
			return HV_EDENIED;
		settle(file);
		file->there = false;
	}
	return err;
}

enum hv_error host_folder_create(const char *path)
{
	const struct file *file = find(path);
	bool half;
	enum hv_error cut = step(&half), err = check_volume(path);

	if (cut && !half)
		return cut;
	if (!err && file && file->there)
		err = file->folder ? HV_OK : HV_EEXISTS;
	else if (!err)
		err = check_parent(path);
	if (!err && (!file || !file->there))
		make(path, true);
	return err ? err : cut;
}

enum hv_error host_folder_read(const char *path,
			       void (*each)(void *ctx, const char *name, u64 size), void *ctx)
{
	const struct file *folder = find(path);
	size_t length = strlen(path);
	bool root = !length || path[length - 1] == ':', half;
	enum hv_error err = step(&half);

	if (err)
		return err;
	if (check_volume(path) || (!root && (!folder || !folder->there || !folder->folder)))
		return HV_ENOT_FOUND;
	for (u32 i = 0; i < file_count; i++) {
		const struct file *file = &files[i];
		const char *name = file->path + length + !root;

		if (!file->there || file->folder || strncasecmp(file->path, path, length) ||
		    (!root && file->path[length] != '/') || strpbrk(name, ":/"))
			continue;
		each(ctx, name, file->size);
	}
	return HV_OK;
}

enum hv_error host_volume_free(const char *path, u64 *bytes)
{
	bool half;
	enum hv_error err = step(&half);

	if (!err)
		err = check_volume(path);
	if (err)
		return err;
	*bytes = host_files.room;
	return host_files.write_protected ? HV_EDENIED : HV_OK;
}
