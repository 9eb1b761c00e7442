/* SPDX-License-Identifier: MIT */
/*
 * What of a structure is saved in a snapshot.
 *
 * Each structure that takes part has one X-macro list that names every member, as saved or as
 * transient (with the reason). From it come the table of fields and a static assertion that the
 * sizes of all listed members add up to the size of the structure: a member that nobody listed,
 * and a hole that nobody named, do not compile.
 *
 *	struct pit { u16 reload; u8 latch; u8 pad; struct clock *clock; };
 *
 *	#define PIT_FIELDS(SAVED, TRANSIENT)                  \
 *		SAVED(struct pit, reload)                     \
 *		SAVED(struct pit, latch)                      \
 *		TRANSIENT(struct pit, pad, "padding")         \
 *		TRANSIENT(struct pit, clock, "wiring")
 *
 *	STATE_DEFINE(pit_state, "pit", 1, struct pit, PIT_FIELDS, .check = pit_check);
 *
 * Members are integers or arrays of integers of fixed width (bool counts as one byte), or
 * structures of such without holes; the file format is little-endian, as are both architectures.
 */
#ifndef HV_STATE_H
#define HV_STATE_H

#include <hv/error.h>
#include <hv/types.h>

struct state_field {
	const char *name;
	u32 offset; /* bytes from the start of the structure */
	u32 size;   /* bytes */
};

struct state_desc {
	char name[16];   /* the record's type, the rest zeros: stable for ever */
	u32 version;     /* raised when the list of saved fields changes */
	u32 size;        /* sizeof the structure */
	u32 packed_size; /* of all fields, bytes */
	u32 field_count;
	const struct state_field *fields;
	/*
	 * Whether a loaded @obj (a scratch copy, hostile until this says yes) can be used; changes
	 * nothing. @why gets the reason. NULL: every value of every field is legal.
	 */
	enum hv_error (*check)(const void *obj, const char **why);
	/* Called before @obj is saved, to bring fields up to date. May be NULL. */
	void (*before_save)(void *obj);
	/* Called when the saved fields of all objects are replaced: re-arm timers, recompute. */
	void (*after_load)(void *obj);
};

#define STATE_FIELD_(type, member)                                                                 \
	{#member, (u32)offsetof(type, member), (u32)sizeof(((type *)0)->member)},
#define STATE_FIELD_NONE_(type, member, why)
#define STATE_SIZE_(type, member)          +sizeof(((type *)0)->member)
#define STATE_SIZE_WHY_(type, member, why) +sizeof(((type *)0)->member)
#define STATE_SIZE_NONE_(type, member, why)

/* Defines `const struct state_desc @var`; further members of it may be given at the end. */
#define STATE_DEFINE(var, record, ver, type, LIST, ...)                                            \
	static const struct state_field var##_fields[] = {LIST(STATE_FIELD_, STATE_FIELD_NONE_)};  \
	static_assert((0 LIST(STATE_SIZE_, STATE_SIZE_WHY_)) == sizeof(type),                      \
		      #LIST " does not name every byte of " #type);                                \
	static_assert(sizeof(record) <= 16, "record name too long");                               \
	const struct state_desc var = {.name = record,                                             \
				       .version = ver,                                             \
				       .size = sizeof(type),                                       \
				       .packed_size = 0 LIST(STATE_SIZE_, STATE_SIZE_NONE_),       \
				       .field_count = ARRAY_COUNT(var##_fields),                   \
				       .fields = var##_fields,                                     \
				       __VA_ARGS__}

/* Bytes that the saved fields of @desc take, packed one after the other. */
static inline size_t state_packed_size(const struct state_desc *desc)
{
	return desc->packed_size;
}

/* Calls before_save and packs the saved fields of @obj into @buf (state_packed_size() bytes). */
void state_pack(const struct state_desc *desc, void *obj, void *buf);

/* Puts packed fields into the structure @obj; calls neither check nor after_load. */
void state_unpack(const struct state_desc *desc, void *obj, const void *buf);

/* Into @copy, of the size of the structure, what state_unpack() would make of @obj. */
void state_unpack_copy(const struct state_desc *desc, void *copy, const void *obj, const void *buf);

#endif
