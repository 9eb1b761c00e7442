/* SPDX-License-Identifier: MIT */
/*
 * Pages from the firmware. Each piece is on a list, so that all of them go back at the end.
 *
 * The firmware takes thousands of instructions to find some, and to zero them takes as long. So
 * what is small is cut from chunks that stay ours, whose free pages are zeroed already.
 */
#include "uefi.h"

#include <hv/log.h>
#include <internal/host.h>

#include <string.h>

#define BLOCK_SIZE  MIB(2)
#define BLOCK_PAGES (BLOCK_SIZE / PAGE_SIZE)

/* Descriptors that the memory map may grow by, through the allocation made to hold it. */
#define MAP_SLACK 8

#define CHUNK_PAGES 32u
/* What host_refill_pages() sees to, and the most that is cut from a chunk. */
#define SMALL_PAGES 16u

struct piece {
	struct piece *next;
	EFI_PHYSICAL_ADDRESS base;
	UINTN pages;
	bool chunk;
	u32 used; /* of a chunk: bit n, page n was given out */
};

static_assert(CHUNK_PAGES == 8 * sizeof(((struct piece *)0)->used), "a bit for each page");

static const EFI_GUID loaded_image_guid = EFI_LOADED_IMAGE_PROTOCOL_GUID;

static struct piece *pieces; /* the last one that was taken first */

/* Notes that @pages at @base are ours; gives them back to the firmware if that is impossible. */
static enum hv_error piece_add(EFI_PHYSICAL_ADDRESS base, UINTN pages)
{
	void *memory = NULL;
	struct piece *piece;

	if (EFI_ERROR(uefi_bs->AllocatePool(EfiLoaderData, sizeof(*piece), &memory))) {
		uefi_bs->FreePages(base, pages);
		return HV_ENO_MEMORY;
	}
	piece = memory;
	*piece = (struct piece){.next = pieces, .base = base, .pages = pages};
	pieces = piece;
	return HV_OK;
}

static void piece_remove(struct piece **link)
{
	struct piece *piece = *link;

	*link = piece->next;
	uefi_bs->FreePages(piece->base, piece->pages);
	uefi_bs->FreePool(piece);
}

void memory_fini(void)
{
	while (pieces)
		piece_remove(&pieces);
}

void *memory_take(size_t pages)
{
	EFI_PHYSICAL_ADDRESS base = 0;

	if (!pages ||
	    EFI_ERROR(uefi_bs->AllocatePages(AllocateAnyPages, EfiLoaderData, pages, &base)))
		return NULL;
	if (piece_add(base, pages) != HV_OK)
		return NULL;
	return memset((void *)base, 0, pages * PAGE_SIZE);
}

enum hv_error host_alloc_blocks(u32 blocks, hpa_t *base)
{
	EFI_PHYSICAL_ADDRESS start = 0, aligned;
	UINTN wanted = blocks * BLOCK_PAGES, before, after;
	enum hv_error err;

	UEFI_CHECK_CONTEXT();
	if (!blocks)
		return HV_EINVALID;
	/* The firmware aligns to pages only: take one block more, less a page, give back the ends.
	 */
	if (EFI_ERROR(uefi_bs->AllocatePages(AllocateAnyPages, EfiLoaderData,
					     wanted + BLOCK_PAGES - 1, &start)))
		return HV_ENO_MEMORY;
	aligned = ALIGN_UP(start, BLOCK_SIZE);
	before = (aligned - start) / PAGE_SIZE;
	after = BLOCK_PAGES - 1 - before;
	if (before)
		uefi_bs->FreePages(start, before);
	if (after)
		uefi_bs->FreePages(aligned + wanted * PAGE_SIZE, after);
	err = piece_add(aligned, wanted);
	if (err == HV_OK)
		*base = HPA(aligned);
	return err;
}

/* ---- small pieces ---- */

/* Where in the chunk @pages free ones are side by side: the bit of the first of each such place. */
static u32 places(const struct piece *chunk, u32 pages)
{
	u32 free = ~chunk->used;

	while (--pages)
		free &= free >> 1;
	return free;
}

/* A chunk with room for @pages; NULL without one. */
static struct piece *find_room(u32 pages)
{
	struct piece *piece = pieces;

	while (piece && !(piece->chunk && places(piece, pages)))
		piece = piece->next;
	return piece;
}

static struct piece *take_chunk(void)
{
	if (!memory_take(CHUNK_PAGES))
		return NULL;
	pieces->chunk = true;
	return pieces;
}

static u32 page_bits(u32 first, u32 pages)
{
	return ((1u << pages) - 1) << first;
}

static void *cut(u32 pages)
{
	struct piece *chunk = find_room(pages);
	u32 first;

	if (!chunk)
		chunk = take_chunk();
	if (!chunk)
		return NULL;
	first = (u32)__builtin_ctz(places(chunk, pages));
	chunk->used |= page_bits(first, pages);
	return (void *)(chunk->base + first * PAGE_SIZE);
}

static void put_back(struct piece *chunk, void *ptr, u32 pages)
{
	u32 first = (u32)(((EFI_PHYSICAL_ADDRESS)ptr - chunk->base) / PAGE_SIZE);
	u32 bits = page_bits(first, pages);

	HV_ASSERT((chunk->used & bits) == bits);
	memset(ptr, 0, pages * PAGE_SIZE);
	chunk->used &= ~bits;
}

void host_refill_pages(void)
{
	UEFI_CHECK_CONTEXT();
	/* Without one, whoever needs it is told. */
	if (!find_room(SMALL_PAGES))
		(void)take_chunk();
}

void *host_alloc_pages(u32 pages)
{
	UEFI_CHECK_CONTEXT();
	return pages && pages <= SMALL_PAGES ? cut(pages) : memory_take(pages);
}

void host_free_pages(void *ptr, u32 pages)
{
	UEFI_CHECK_CONTEXT();
	if (!ptr)
		return;
	for (struct piece **link = &pieces; *link; link = &(*link)->next) {
		if ((EFI_PHYSICAL_ADDRESS)ptr - (*link)->base >= (*link)->pages * PAGE_SIZE)
			continue;
		if ((*link)->chunk) {
			put_back(*link, ptr, pages);
			return;
		}
		HV_ASSERT((*link)->base == (EFI_PHYSICAL_ADDRESS)ptr && (*link)->pages == pages);
		piece_remove(link);
		return;
	}
	panic("host_free_pages: %p was not allocated", ptr);
}

u64 host_memory_free(void)
{
	UINTN size = 0, key, descriptor_size = 0;
	UINT32 version;
	void *map = NULL;
	u64 pages = 0;

	UEFI_CHECK_CONTEXT();
	if (uefi_bs->GetMemoryMap(&size, NULL, &key, &descriptor_size, &version) !=
	    EFI_BUFFER_TOO_SMALL)
		return 0;
	size += MAP_SLACK * descriptor_size;
	if (EFI_ERROR(uefi_bs->AllocatePool(EfiLoaderData, size, &map)))
		return 0;
	if (!EFI_ERROR(uefi_bs->GetMemoryMap(&size, map, &key, &descriptor_size, &version))) {
		for (UINTN at = 0; at + descriptor_size <= size; at += descriptor_size) {
			const EFI_MEMORY_DESCRIPTOR *entry = (void *)((u8 *)map + at);

			if (entry->Type == EfiConventionalMemory)
				pages += entry->NumberOfPages;
		}
	}
	uefi_bs->FreePool(map);
	return pages * PAGE_SIZE;
}

u64 host_memory_taken(void)
{
	const EFI_LOADED_IMAGE_PROTOCOL *image = uefi_protocol(uefi_image, &loaded_image_guid);
	u64 taken = image ? ALIGN_UP(image->ImageSize, PAGE_SIZE) : 0;

	UEFI_CHECK_CONTEXT();
	for (const struct piece *piece = pieces; piece; piece = piece->next)
		taken += piece->pages * PAGE_SIZE;
	return taken;
}
