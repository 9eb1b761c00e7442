/* SPDX-License-Identifier: MIT */
#include <internal/host.h>
#include <internal/pager.h>
#include <internal/pool.h>
#include <internal/sched.h>
#include <stdio.h>
#include <string.h>

static u32 own_pages(void)
{
	return (u32)pages_of(sizeof(struct pager));
}

static u32 entry_pages(const struct pager *pager)
{
	return (u32)pages_of(pager->header.page_count * sizeof(struct store_entry));
}

struct pager *pager_alloc(void)
{
	return host_alloc_pages(own_pages());
}

void pager_close(struct pager *pager)
{
	volume_close(&pager->file, false);
	host_free_pages(pager->entries, entry_pages(pager));
	host_free_pages(pager, own_pages());
}

/* ---- where the pages are ---- */

static enum hv_error check_places(const struct store_chunk *chunk, const struct mem *mem, char *why)
{
	for (u32 i = 0; i < chunk->count; i++) {
		u64 gpa = chunk->entries[i].gpa;

		if (!mem_holds(mem, GPA(gpa), PAGE_SIZE)) {
			snprintf(why, STORE_WHY_MAX,
				 "page at %llxh: no memory of the guest is there",
				 (unsigned long long)gpa);
			return HV_ECORRUPT;
		}
	}
	return HV_OK;
}

enum hv_error pager_read_entries(struct pager *pager, const struct mem *mem, char *why)
{
	struct store_chunk *chunk = (struct store_chunk *)(void *)pager->pages;
	struct store_reader reader;
	u64 at = 0;

	pager->left = pager->header.page_count;
	if (pager->left)
		pager->entries = host_alloc_pages(entry_pages(pager));
	if (pager->left && !pager->entries) {
		snprintf(why, STORE_WHY_MAX, "no memory for the list of its pages");
		return HV_ENO_MEMORY;
	}
	store_read_begin(&reader, &pager->file.io, &pager->header);
	while (reader.pages_left) {
		enum hv_error err = store_read_entries(&reader, chunk, why);

		if (!err)
			err = check_places(chunk, mem, why);
		if (err)
			return err;
		memcpy(&pager->entries[at], chunk->entries,
		       chunk->count * sizeof(struct store_entry));
		at += chunk->count;
	}
	return HV_OK;
}

/* The place of the page at @gpa among the entries; page_count: it is zeros. */
static u64 find(const struct pager *pager, u64 gpa)
{
	u64 low = 0, high = pager->header.page_count;

	while (low < high) {
		u64 middle = low + (high - low) / 2;

		if (pager->entries[middle].gpa < gpa)
			low = middle + 1;
		else
			high = middle;
	}
	if (low < pager->header.page_count && pager->entries[low].gpa == gpa)
		return low;
	return pager->header.page_count;
}

/* ---- bringing them ---- */

/* Pages from @number on, PAGER_CLUSTER at most, that are read at once: of one chunk, none came yet.
 */
static u32 cluster_at(const struct pager *pager, u64 number)
{
	u64 end = min_u64(pager->header.page_count,
			  number - number % STORE_CHUNK_PAGES + STORE_CHUNK_PAGES);
	u32 count = 0;

	while (number + count < end && count < PAGER_CLUSTER &&
	       !pager->entries[number + count].zero)
		count++;
	return count;
}

static enum hv_error bring_cluster(struct pager *pager, u64 number, char *why)
{
	u32 count = cluster_at(pager, number);
	struct store_entry *entries = &pager->entries[number];
	/* Each may need tables of three levels. Where there is no more, there may be enough. */
	enum hv_error err, refilled = pool_keep(4 * PAGER_CLUSTER);

	err = store_read_pages(&pager->file.io, &pager->header, number, entries, count,
			       pager->pages, why);
	vm_lock(pager->vm);
	for (u32 i = 0; !err && i < count; i++) {
		/* Before it is in its place, or that place would be asked for. */
		entries[i].zero = 1;
		pager->left--;
		err = mem_write(&pager->vm->mem, GPA(entries[i].gpa), pager->pages + i * PAGE_SIZE,
				PAGE_SIZE);
		if (err)
			snprintf(why, STORE_WHY_MAX, "page at %llxh: %s",
				 (unsigned long long)entries[i].gpa,
				 refilled ? "no guest memory is left" : hv_error_text(err));
	}
	vm_unlock(pager->vm);
	return err;
}

/* @number's page and some more; a VM without its memory can't go on. */
static enum hv_error bring(struct pager *pager, u64 number, char *why)
{
	char reason[STORE_WHY_MAX];
	enum hv_error err = bring_cluster(pager, number, reason);

	if (!err)
		return HV_OK;
	snprintf(why, SNAPSHOT_WHY_MAX, "its memory in snapshot %s can't be read: %s",
		 pager->snapshot, reason);
	vm_lock(pager->vm);
	vm_fail(pager->vm, "%s", why);
	vm_unlock(pager->vm);
	return err;
}

static bool source_bring(struct mem_source *source, gpa_t gpa)
{
	struct pager *pager = container_of(source, struct pager, source);
	u64 page = ALIGN_DOWN(gpa.v, PAGE_SIZE);
	char why[SNAPSHOT_WHY_MAX];
	u64 number = find(pager, page);

	if (number == pager->header.page_count || pager->entries[number].zero)
		return true;
	/* The firmware reads it, unless it is a virtual CPU, somewhere, that needs it. */
	if (host_context_firmware && !pager->vm->on_cpu)
		return bring(pager, number, why) == HV_OK;
	pager->waits = true;
	pager->gpa = page;
	return false;
}

static bool source_serve(struct mem_source *source)
{
	struct pager *pager = container_of(source, struct pager, source);

	if (!pager->waits)
		return false;
	pager->waits = false;
	(void)source_bring(source, GPA(pager->gpa));
	return true;
}

static void source_end(struct mem_source *source)
{
	pager_close(container_of(source, struct pager, source));
}

/* ---- for a VM ---- */

void pager_attach(struct pager *pager, struct vm *vm, const char *name)
{
	pager->source = (struct mem_source){
		.bring = source_bring, .serve = source_serve, .end = source_end};
	pager->vm = vm;
	memcpy(pager->snapshot, name, strlen(name) + 1);
	vm->mem.source = &pager->source;
}

static struct pager *pager_of(const struct vm *vm)
{
	return vm->mem.source ? container_of(vm->mem.source, struct pager, source) : NULL;
}

/* The next that didn't come; when there is none any more, the pager has ended. */
static enum hv_error bring_next(struct pager *pager, char *why)
{
	struct vm *vm = pager->vm;
	enum hv_error err = HV_OK;

	while (pager->next < pager->header.page_count && pager->entries[pager->next].zero)
		pager->next++;
	if (pager->left)
		err = bring(pager, pager->next, why);
	if (!err && !pager->left) {
		vm->mem.source = NULL;
		pager_close(pager);
	}
	return err;
}

void pager_poll(struct vm *vm)
{
	struct pager *pager = pager_of(vm);
	char why[SNAPSHOT_WHY_MAX];

	if (pager && vm->state != VM_FAILED)
		(void)bring_next(pager, why);
}

enum hv_error pager_complete(struct vm *vm, snapshot_progress *progress, char *why)
{
	struct pager *pager;
	enum hv_error err = HV_OK;

	while (!err && (pager = pager_of(vm))) {
		u64 all = pager->header.page_count;

		if (progress)
			progress("reading", (all - pager->left) * PAGE_SIZE, all * PAGE_SIZE);
		err = bring_next(pager, why);
		(void)sched_run_ready();
	}
	return err;
}

bool pager_uses(const struct vm *vm, const char *name)
{
	const struct pager *pager = pager_of(vm);

	return pager && !strcmp(pager->snapshot, name);
}
