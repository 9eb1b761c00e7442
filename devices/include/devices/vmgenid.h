/* SPDX-License-Identifier: MIT */
/*
 * The VM generation id: 128 random bits in the guest's memory, replaced when the guest must know
 * that it is not, or no longer, the only one with its past (Microsoft, "Virtual Machine Generation
 * ID", 2012; UAPI.14).
 *
 * The id is seed material for the guest: it is never logged, and shown only to whoever asks.
 *
 * The order after a new id is write, clean, notify. vmgenid_update() does the first two, in that
 * order or not at all; when to notify is the caller's decision.
 */
#ifndef DEVICES_VMGENID_H
#define DEVICES_VMGENID_H

#include <hv/irq.h>
#include <hv/mem.h>
#include <hv/rng.h>
#include <hv/state.h>

#define VMGENID_BYTES      16
#define VMGENID_ALIGN      16 /* the specification asks for 8; 16 lets a guest copy it in one go */
#define VMGENID_TEXT_SIZE  37 /* bytes for vmgenid_format(), with its end */
#define VMGENID_WORDS_SIZE 38 /* bytes for vmgenid_format_words(), with its end */

/* Changes only while none of the VM's virtual CPUs runs. */
struct vmgenid {
	u8 id[VMGENID_BYTES]; /* as in guest memory: a GUID in little-endian form */
	gpa_t address;        /* of the id in guest memory */
	u64 generation;       /* how many times the id was replaced by another */
	u32 line_number;      /* of the interrupt that says so */
	u8 pad[4];
	gpa_t home; /* where this machine has it; a loaded address must be the same */
	struct irq_line line;
	const struct guest_mem *mem;
	const struct rng *rng;
};

extern const struct state_desc vmgenid_state;

/*
 * Takes memory and an interrupt line from @resources. @mem and @rng must outlive the device. The
 * errors of the resources. There is no id yet, and guest memory isn't touched.
 */
HV_MUST_CHECK enum hv_error vmgenid_new(struct vmgenid *dev, const struct resources *resources,
					const struct guest_mem *mem, const struct rng *rng);

/* The same with memory and line given. HV_EINVALID when @address is 0 or not aligned. */
HV_MUST_CHECK enum hv_error vmgenid_from_parts(struct vmgenid *dev,
					       const struct resources *resources,
					       const struct guest_mem *mem, const struct rng *rng,
					       gpa_t address, u32 line_number);

/*
 * Writes the id to guest memory: before the guest starts, when it is drawn, and again after a reset
 * of the guest, which keeps it. HV_ENO_ENTROPY, or the errors of guest_write().
 */
HV_MUST_CHECK enum hv_error vmgenid_activate(struct vmgenid *dev);

/*
 * Makes @id the id: writes it to guest memory and makes it visible there. On an error (those of
 * guest_write(), HV_EINVALID for an id of zeros) the id is the old one.
 */
HV_MUST_CHECK enum hv_error vmgenid_update(struct vmgenid *dev, const u8 id[VMGENID_BYTES]);

/* vmgenid_update() with a fresh random id. HV_ENO_ENTROPY: none could be drawn, nothing changed. */
HV_MUST_CHECK enum hv_error vmgenid_rotate(struct vmgenid *dev);

/* Tells the guest, by one edge on the line. */
void vmgenid_notify_guest(struct vmgenid *dev);

/* GUID text, as other hypervisors' tools show it; @size at least VMGENID_TEXT_SIZE. */
void vmgenid_format(const u8 id[VMGENID_BYTES], char *text, size_t size);

/* The two halves as numbers, "0xLOW:0xHIGH"; @size at least VMGENID_WORDS_SIZE. */
void vmgenid_format_words(const u8 id[VMGENID_BYTES], char *text, size_t size);

/* Reads either form. HV_EINVALID: neither; @id is then unchanged. */
HV_MUST_CHECK enum hv_error vmgenid_parse(const char *text, u8 id[VMGENID_BYTES]);

#endif
