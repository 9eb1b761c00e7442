/* SPDX-License-Identifier: MIT */
/*
 * The memory of a VM that runs already while it still comes from the volume: pages are read when
 * they are touched, each checked before it is used, and all others in between. Firmware context
 * only, but for what the layer itself asks.
 */
#ifndef HV_PAGER_H
#define HV_PAGER_H

#include <internal/snapshot.h>
#include <internal/volume.h>

/* Pages that are read at once: those that follow one that is touched are likely to be next. */
#define PAGER_CLUSTER 16u

struct pager {
	struct mem_source source;
	struct vm *vm;
	struct volume_file file;
	struct store_header header;
	char snapshot[CONFIG_NAME_MAX];
	struct store_entry *entries; /* of all pages, by address; `zero` is 1 for one that came */
	u64 left;                    /* pages that didn't come yet */
	u64 next;                    /* all before it came */
	bool waits;                  /* the guest does, for the page at gpa */
	u64 gpa;
	u8 pages[PAGER_CLUSTER * PAGE_SIZE] __attribute__((aligned(8)));
};

/* One without anything, to be given back by pager_close(); NULL without memory. */
struct pager *pager_alloc(void);
void pager_close(struct pager *pager);

/*
 * When file and header are there: reads where the pages are, all of which @mem must have. @why:
 * STORE_WHY_MAX.
 */
HV_MUST_CHECK enum hv_error pager_read_entries(struct pager *pager, const struct mem *mem,
					       char *why);

/* Makes @pager, of snapshot @name, that of @vm, whose layer is new; it ends with the layer. */
void pager_attach(struct pager *pager, struct vm *vm, const char *name);

/* Once per slice: reads a few of the pages that nobody has asked for. */
void pager_poll(struct vm *vm);

/* Reads all that is left of @vm's memory. On failure the VM has failed, and @why says why. */
HV_MUST_CHECK enum hv_error pager_complete(struct vm *vm, snapshot_progress *progress, char *why);

/* Whether @vm still needs the files of the snapshot @name. */
bool pager_uses(const struct vm *vm, const char *name);

#endif
