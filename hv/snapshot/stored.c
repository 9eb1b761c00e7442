/* SPDX-License-Identifier: MIT */
/* Snapshots between memory and the volume: what goes into the files, and how it comes back. */
#include <internal/arch.h>
#include <internal/host.h>
#include <internal/pager.h>
#include <internal/pool.h>
#include <internal/sched.h>
#include <internal/snapshot.h>
#include <internal/version.h>
#include <internal/volume.h>
#include <stdio.h>
#include <string.h>

#define COUNT_PAGES 1024u /* that are looked at before VMs run again */
#define LOW_PAGES   64u   /* that are left in the pool when it is filled up */

#define BUFFER_PAGES ((u32)(STORE_CHUNK_BYTES / PAGE_SIZE))

/* What the area `meta` is about: the machine, without its state. */
struct meta {
	struct vm_config config;
	struct mem_layout layout;
};

#define META_RECORDS 2u

static void meta_table(struct meta *meta, struct vm_record table[META_RECORDS])
{
	table[0] = (struct vm_record){.desc = &vm_config_state, .obj = &meta->config};
	table[1] = (struct vm_record){.desc = &mem_layout_state, .obj = &meta->layout};
}

static enum hv_error no_memory(const struct snapshot *s, char *why)
{
	snprintf(why, SNAPSHOT_WHY_MAX,
		 "the machine has no memory left for snapshot %s; end a VM or delete a snapshot",
		 s->name);
	return HV_ENO_MEMORY;
}

/* Long work lets the VMs run in between, and says how far it is. */
static void go_on(snapshot_progress *progress, const char *what, u64 done, u64 all)
{
	if (progress)
		progress(what, done, all);
	(void)sched_run_ready();
}

/* ---- writing ---- */

static size_t meta_size(void)
{
	static const struct vm_record table[META_RECORDS] = {{.desc = &vm_config_state},
							     {.desc = &mem_layout_state}};

	return records_size(table, META_RECORDS);
}

/* Bytes that the files of @s will have. */
static u64 count_bytes(const struct snapshot *s)
{
	u64 areas = ALIGN_UP(meta_size(), PAGE_SIZE) + ALIGN_UP(s->records_length, PAGE_SIZE);
	const u8 *page;
	u64 count = 0, seen = 0;

	for (u64 at = 0; (page = mem_image_next(&s->image, &at)); at += PAGE_SIZE) {
		count += !store_is_zero(page);
		if (++seen % COUNT_PAGES == 0)
			(void)sched_run_ready();
	}
	return sizeof(struct store_header) + areas +
	       (count + (count + STORE_CHUNK_PAGES - 1) / STORE_CHUNK_PAGES) * PAGE_SIZE;
}

static void describe(const struct snapshot *s, u64 generation, u64 part_bytes,
		     struct store_header *about)
{
	memset(about, 0, sizeof(*about));
	snprintf(about->arch, sizeof(about->arch), "%s", s->arch);
	snprintf(about->name, sizeof(about->name), "%s", s->name);
	snprintf(about->vm, sizeof(about->vm), "%s", s->config.name);
	snprintf(about->parent_name, sizeof(about->parent_name), "%s", s->parent.name);
	snprintf(about->build, sizeof(about->build), "%s", anew_build);
	memcpy(about->id, s->id, sizeof(about->id));
	memcpy(about->parent, s->parent.id, sizeof(about->parent));
	about->generation = generation;
	about->wall = s->wall;
	about->part_bytes = part_bytes;
}

static enum hv_error write_pages(struct store_writer *writer, const struct snapshot *s, u64 all,
				 snapshot_progress *progress)
{
	enum hv_error err = HV_OK;
	const u8 *page;
	u32 chunks = 0;

	for (u64 at = 0; !err && (page = mem_image_next(&s->image, &at)); at += PAGE_SIZE) {
		err = store_write_page(writer, GPA(at), page);
		if (writer->chunks != chunks)
			go_on(progress, "writing", writer->chunks * STORE_CHUNK_BYTES, all);
		chunks = writer->chunks;
	}
	return err ? err : store_write_end(writer);
}

/* @about is used up. */
static enum hv_error write_all(struct volume_file *file, const struct snapshot *s, u64 all,
			       u8 *buffer, struct store_header *about, snapshot_progress *progress)
{
	static struct store_writer writer;
	static struct meta meta;
	static u8 packed[2 * PAGE_SIZE];
	struct vm_record table[META_RECORDS];
	enum hv_error err;

	meta.config = s->config;
	mem_layout_get(s->image.slots, s->image.slot_count, &meta.layout);
	meta_table(&meta, table);
	HV_ASSERT(meta_size() <= sizeof(packed));
	records_save(table, META_RECORDS, packed);
	err = store_write_begin(&writer, &file->io, buffer, about, packed, (u32)meta_size(),
				s->records, (u32)s->records_length);
	return err ? err : write_pages(&writer, s, all, progress);
}

/* How the writing of @all bytes ended after @written; the earlier snapshot of the name stays. */
static void blame_volume(const struct snapshot *s, enum hv_error err, u64 written, u64 all,
			 char *why)
{
	char missing[64] = "";

	if (err == HV_ENO_SPACE)
		snprintf(missing, sizeof(missing), " after %llu MiB, %llu MiB are missing",
			 (unsigned long long)(written / MIB(1)),
			 (unsigned long long)(ALIGN_UP(all - min_u64(written, all), MIB(1)) /
					      MIB(1)));
	snprintf(
		why, SNAPSHOT_WHY_MAX,
		"snapshot %s can't be written: %s%s; nothing was changed; %s, or " VOLUME_ELSEWHERE,
		s->name, hv_error_text(err), missing,
		err == HV_ENO_SPACE ? "`delete` another one" : "check its volume");
}

enum hv_error stored_write(struct snapshot *s, bool replace, snapshot_progress *progress, char *why)
{
	static struct store_header about;
	u8 *buffer = host_alloc_pages(BUFFER_PAGES);
	static struct volume_file file;
	u64 bytes, generation;
	enum hv_error err;

	if (!buffer)
		return no_memory(s, why);
	bytes = count_bytes(s);
	err = volume_create(&file, s->name, bytes, replace, &generation, why);
	if (!err) {
		describe(s, generation, file.part_bytes, &about);
		err = write_all(&file, s, bytes, buffer, &about, progress);
		volume_close(&file, !err);
		if (err)
			blame_volume(s, err, file.written, bytes, why);
	}
	host_free_pages(buffer, BUFFER_PAGES);
	if (err)
		return err;
	s->stored = true;
	s->bytes = bytes;
	return HV_OK;
}

/* ---- reading ---- */

static void blame(const struct snapshot *s, const char *reason, char *why)
{
	snprintf(why, SNAPSHOT_WHY_MAX, "snapshot %s can't be used: %s", s->name, reason);
}

/* Opens the files of @s for reading, if they are those that were listed. */
static enum hv_error open_stored(struct volume_file *file, const struct snapshot *s,
				 struct store_header *header, char *why)
{
	enum hv_error err;

	if (s->damage[0]) {
		blame(s, s->damage, why);
		return HV_ECORRUPT;
	}
	if (strcmp(s->arch, arch_name())) {
		snprintf(why, SNAPSHOT_WHY_MAX,
			 "snapshot %s was taken on %s, and this machine is %s; restore it on one "
			 "of its kind",
			 s->name, s->arch, arch_name());
		return HV_EUNSUPPORTED;
	}
	err = volume_open(file, s->name, header, why);
	if (err)
		return err;
	if (!memcmp(header->id, s->id, sizeof(s->id)))
		return HV_OK;
	volume_close(file, false);
	snprintf(why, SNAPSHOT_WHY_MAX,
		 "the files of snapshot %s are others than when anew started; start it again",
		 s->name);
	return HV_ECORRUPT;
}

/* An area of records, checked, into *@area: pages of store_area_size(), which are the caller's. */
static enum hv_error read_area(const struct volume_file *file, const struct snapshot *s,
			       const struct store_header *header, enum store_area which, u8 **area,
			       char *why)
{
	u32 pages = (u32)pages_of(store_area_size(header, which));
	char reason[STORE_WHY_MAX];
	enum hv_error err;

	if (!pages) {
		blame(s, "it has no records", why);
		return HV_ECORRUPT;
	}
	*area = host_alloc_pages(pages);
	if (!*area)
		return no_memory(s, why);
	err = store_read_area(&file->io, header, which, *area, reason);
	if (err) {
		blame(s, reason, why);
		host_free_pages(*area, pages);
	}
	return err;
}

static enum hv_error parse_meta(const struct store_header *header, const u8 *area,
				struct meta *meta, char *why)
{
	struct vm_record table[META_RECORDS];
	struct records_index index;
	enum hv_error err;

	memset(meta, 0, sizeof(*meta));
	meta_table(meta, table);
	err = records_parse(table, META_RECORDS, area, header->meta_length, &index, why);
	if (!err)
		err = records_check(table, META_RECORDS, &index, why);
	if (err)
		return err;
	records_commit(table, META_RECORDS, &index);
	/* The header's is what the snapshot was listed with. */
	if (!strcmp(meta->config.name, header->vm))
		return HV_OK;
	snprintf(why, RECORDS_WHY_MAX, "record config.0: the VM is %s, and %s in the header",
		 meta->config.name, header->vm);
	return HV_ECORRUPT;
}

static enum hv_error read_meta(const struct volume_file *file, const struct snapshot *s,
			       const struct store_header *header, struct meta *meta, char *why)
{
	char reason[RECORDS_WHY_MAX];
	u8 *area;
	enum hv_error err = read_area(file, s, header, STORE_META, &area, why);

	if (err)
		return err;
	err = parse_meta(header, area, meta, reason);
	if (err)
		blame(s, reason, why);
	host_free_pages(area, (u32)pages_of(store_area_size(header, STORE_META)));
	return err;
}

/*
 * What stored_read_config() has open for the load that follows it: with each opening the firmware
 * reads the folder, and writes what it holds back.
 */
static struct {
	const struct snapshot *of; /* NULL: nothing is open */
	struct volume_file file;
	struct store_header header;
	struct meta meta;
} opened;

enum hv_error stored_read_config(struct snapshot *s, char *why)
{
	enum hv_error err = open_stored(&opened.file, s, &opened.header, why);

	if (err)
		return err;
	err = read_meta(&opened.file, s, &opened.header, &opened.meta, why);
	if (err) {
		volume_close(&opened.file, false);
		return err;
	}
	opened.of = s;
	s->config = opened.meta.config;
	return HV_OK;
}

void stored_done(void)
{
	if (opened.of)
		volume_close(&opened.file, false);
	opened.of = NULL;
}

/* What is open goes to @file, @header and @meta. */
static void take_opened(struct volume_file *file, struct store_header *header, struct meta *meta)
{
	volume_move(file, &opened.file);
	*header = opened.header;
	*meta = opened.meta;
	opened.of = NULL;
}

static enum hv_error check_layout(const struct snapshot *s, const struct meta *meta,
				  const struct vm *vm, char *why)
{
	struct mem_layout layout;

	mem_layout_get(vm->mem.slots, vm->mem.slot_count, &layout);
	if (!memcmp(&layout, &meta->layout, sizeof(layout)))
		return HV_OK;
	blame(s, "record layout.0: its memory lies elsewhere than this anew has it", why);
	return HV_EUNSUPPORTED;
}

static enum hv_error take_page(void *ctx, gpa_t gpa, const void *page, char *why)
{
	struct mem *mem = ctx;
	/* VMs that run in between take of the pool, too. */
	enum hv_error err = pool_keep(LOW_PAGES);

	if (!err)
		err = mem_write(mem, gpa, page, PAGE_SIZE);

	if (err)
		snprintf(why, STORE_WHY_MAX, "page at %llxh: %s", (unsigned long long)gpa.v,
			 err == HV_ENOT_FOUND ? "no memory of the guest is there"
					      : hv_error_text(err));
	return err;
}

/* All chunks, each page handed to @sink. */
static enum hv_error read_pages(const struct volume_file *file, const struct snapshot *s,
				const struct store_header *header, store_sink *sink, void *ctx,
				const char *what, snapshot_progress *progress, char *why)
{
	u8 *buffer = host_alloc_pages(BUFFER_PAGES);
	char reason[STORE_WHY_MAX];
	struct store_reader reader;
	enum hv_error err = HV_OK;

	if (!buffer)
		return no_memory(s, why);
	store_read_begin(&reader, &file->io, header);
	while (!err && reader.pages_left) {
		err = store_read_chunk(&reader, buffer, sink, ctx, reason);
		go_on(progress, what, reader.chunks * STORE_CHUNK_BYTES, header->length);
	}
	host_free_pages(buffer, BUFFER_PAGES);
	if (err)
		blame(s, reason, why);
	return err;
}

/* Records into s->records. */
static enum hv_error read_state(const struct volume_file *file, struct snapshot *s,
				const struct store_header *header, char *why)
{
	u8 *area;
	enum hv_error err = read_area(file, s, header, STORE_STATE, &area, why);

	if (err)
		return err;
	host_free_pages(s->records, (u32)pages_of(s->records_length));
	s->records = area;
	s->records_length = header->state_length;
	return HV_OK;
}

/* Memory like @vm's, without pages but with room for all that the snapshot has. */
static enum hv_error init_mem(struct mem *mem, const struct snapshot *s,
			      const struct store_header *header, const struct vm *vm, char *why)
{
	enum hv_error err = pool_reserve(header->page_count * PAGE_SIZE);

	if (!err)
		err = mem_init_like(mem, &vm->mem);
	return err ? no_memory(s, why) : HV_OK;
}

/* Pages into s->image. */
static enum hv_error read_image(const struct volume_file *file, struct snapshot *s,
				const struct store_header *header, const struct vm *vm,
				snapshot_progress *progress, char *why)
{
	static struct mem mem;
	enum hv_error err = init_mem(&mem, s, header, vm, why);

	if (err)
		return err;
	err = read_pages(file, s, header, take_page, &mem, "reading", progress, why);
	if (!err && mem_freeze(&mem, &s->image))
		err = no_memory(s, why);
	mem_fini(&mem);
	return err;
}

static enum hv_error open_with_meta(struct volume_file *file, const struct snapshot *s,
				    struct store_header *header, struct meta *meta, char *why)
{
	enum hv_error err;

	if (opened.of == s) {
		take_opened(file, header, meta);
		return HV_OK;
	}
	err = open_stored(file, s, header, why);
	if (err)
		return err;
	err = read_meta(file, s, header, meta, why);
	if (err)
		volume_close(file, false);
	return err;
}

/* Opens the files of @s for @vm, and reads all that comes before the pages. */
static enum hv_error open_for(const struct vm *vm, struct volume_file *file, struct snapshot *s,
			      struct store_header *header, char *why)
{
	static struct meta meta;
	enum hv_error err = open_with_meta(file, s, header, &meta, why);

	if (err)
		return err;
	err = check_layout(s, &meta, vm, why);
	if (!err)
		err = read_state(file, s, header, why);
	if (err)
		volume_close(file, false);
	return err;
}

enum hv_error stored_load(struct snapshot *s, const struct vm *vm, snapshot_progress *progress,
			  char *why)
{
	static struct store_header header;
	static struct volume_file file;
	enum hv_error err = open_for(vm, &file, s, &header, why);

	if (err)
		return err;
	err = read_image(&file, s, &header, vm, progress, why);
	volume_close(&file, false);
	return err;
}

/* An image without pages of a memory like @vm's. */
static enum hv_error empty_image(const struct snapshot *s, const struct store_header *header,
				 const struct vm *vm, struct mem_image *image, char *why)
{
	static struct mem mem;
	/* Room for the pages that will come: better no restore than a VM that ends on the way. */
	enum hv_error err = init_mem(&mem, s, header, vm, why);

	if (err)
		return err;
	if (mem_freeze(&mem, image))
		err = no_memory(s, why);
	mem_fini(&mem);
	return err;
}

enum hv_error stored_open(struct snapshot *s, const struct vm *vm, struct mem_image *image,
			  struct pager **out, char *why)
{
	struct pager *pager = pager_alloc();
	char reason[STORE_WHY_MAX];
	enum hv_error err;

	if (!pager)
		return no_memory(s, why);
	err = open_for(vm, &pager->file, s, &pager->header, why);
	if (!err) {
		err = pager_read_entries(pager, &vm->mem, reason);
		if (err)
			blame(s, reason, why);
	}
	if (!err)
		err = empty_image(s, &pager->header, vm, image, why);
	if (err)
		pager_close(pager);
	else
		*out = pager;
	return err;
}

static enum hv_error ignore_page(void *ctx, gpa_t gpa, const void *page, char *why)
{
	(void)ctx;
	(void)gpa;
	(void)page;
	(void)why;
	return HV_OK;
}

enum hv_error stored_check(struct snapshot *s, snapshot_progress *progress, char *why)
{
	static struct store_header header;
	static struct volume_file file;
	static struct meta meta;
	enum hv_error err;
	struct snapshot read = *s;

	if (!s->stored) {
		snprintf(why, SNAPSHOT_WHY_MAX, "snapshot %s is in memory alone, there is no file",
			 s->name);
		return HV_ENOT_FOUND;
	}
	err = open_stored(&file, s, &header, why);
	if (err)
		return err;
	read.records = NULL;
	read.records_length = 0;
	err = read_meta(&file, s, &header, &meta, why);
	if (!err)
		err = read_state(&file, &read, &header, why);
	if (!err)
		err = read_pages(&file, s, &header, ignore_page, NULL, "checking", progress, why);
	volume_close(&file, false);
	host_free_pages(read.records, (u32)pages_of(read.records_length));
	return err;
}
