/* SPDX-License-Identifier: MIT */
/* What a device is wired to in tests: time moved by hand, and things that keep what they got. */
#ifndef TESTS_DEVICE_FAKES_H
#define TESTS_DEVICE_FAKES_H

#include <stdlib.h>
#include <string.h>

#include <hv/chardev.h>
#include <hv/clock.h>
#include <hv/io.h>
#include <hv/irq.h>
#include <hv/mem.h>
#include <hv/rng.h>
#include <hv/state.h>

struct fake_clock {
	struct clock clock;
	u64 ns;
};

static inline u64 fake_clock_now(void *ctx)
{
	return *(u64 *)ctx;
}

static inline void fake_clock_init(struct fake_clock *fake)
{
	memset(fake, 0, sizeof(*fake));
	fake->clock.now = fake_clock_now;
	fake->clock.ctx = &fake->ns;
}

/* Moves the time on by @ns, calling each timer at its deadline. */
static inline void fake_clock_advance(struct fake_clock *fake, u64 ns)
{
	u64 end = fake->ns + ns;

	while (clock_next(&fake->clock) <= end) {
		fake->ns = max_u64(fake->ns, clock_next(&fake->clock));
		clock_expire(&fake->clock);
	}
	fake->ns = end;
}

struct fake_irq {
	struct irq_line line;
	bool level;
	u32 rises;
};

static inline void fake_irq_set(void *ctx, u32 number, bool level)
{
	struct fake_irq *fake = ctx;

	(void)number;
	fake->rises += level && !fake->level;
	fake->level = level;
}

static inline bool fake_irq_enabled(void *ctx, u32 number)
{
	(void)ctx;
	(void)number;
	return true;
}

static inline void fake_irq_watch(void *ctx, u32 number, void (*fn)(void *), void *fn_ctx)
{
	(void)ctx;
	(void)number;
	(void)fn;
	(void)fn_ctx;
}

static const struct irq_chip fake_irq_chip HV_UNUSED = {
	.set = fake_irq_set,
	.enabled = fake_irq_enabled,
	.watch = fake_irq_watch,
};

static inline void fake_irq_init(struct fake_irq *fake, u32 number)
{
	memset(fake, 0, sizeof(*fake));
	fake->line = (struct irq_line){&fake_irq_chip, fake, number};
}

struct fake_chardev {
	struct chardev chardev;
	u8 out[256]; /* the first bytes that were sent */
	size_t out_count;
	size_t room; /* bytes that it still takes */
	u8 in[256];
	size_t in_count;
};

static inline size_t fake_chardev_write(void *ctx, const u8 *buf, size_t length)
{
	struct fake_chardev *fake = ctx;

	length = min_u64(length, fake->room);
	fake->room -= length;
	for (size_t i = 0; i < length; i++, fake->out_count++)
		if (fake->out_count < sizeof(fake->out))
			fake->out[fake->out_count] = buf[i];
	return length;
}

static inline size_t fake_chardev_read(void *ctx, u8 *buf, size_t length)
{
	struct fake_chardev *fake = ctx;

	length = min_u64(length, fake->in_count);
	memcpy(buf, fake->in, length);
	fake->in_count -= length;
	memmove(fake->in, fake->in + length, fake->in_count);
	return length;
}

static inline void fake_chardev_init(struct fake_chardev *fake)
{
	memset(fake, 0, sizeof(*fake));
	fake->chardev = (struct chardev){fake_chardev_write, fake_chardev_read, fake};
	fake->room = SIZE_MAX;
}

#define FAKE_MEMORY_BASE 0x10000
#define FAKE_MEMORY_SIZE 4096

struct fake_memory {
	struct guest_mem mem;
	u8 bytes[FAKE_MEMORY_SIZE];
	u32 writes;
	u32 cleans;
	u32 writes_at_clean; /* how many writes there had been at the last clean */
};

static inline enum hv_error fake_memory_read(void *ctx, gpa_t from, void *buf, size_t length)
{
	struct fake_memory *fake = ctx;
	u64 at = from.v - FAKE_MEMORY_BASE;

	if (at > FAKE_MEMORY_SIZE || length > FAKE_MEMORY_SIZE - at)
		return HV_ENOT_FOUND;
	memcpy(buf, fake->bytes + at, length);
	return HV_OK;
}

static inline enum hv_error fake_memory_write(void *ctx, gpa_t to, const void *buf, size_t length)
{
	struct fake_memory *fake = ctx;
	u64 at = to.v - FAKE_MEMORY_BASE;

	if (at > FAKE_MEMORY_SIZE || length > FAKE_MEMORY_SIZE - at)
		return HV_ENOT_FOUND;
	memcpy(fake->bytes + at, buf, length);
	fake->writes++;
	return HV_OK;
}

static inline void fake_memory_clean(void *ctx, gpa_t from, size_t length)
{
	struct fake_memory *fake = ctx;

	(void)from;
	(void)length;
	fake->cleans++;
	fake->writes_at_clean = fake->writes;
}

static inline void fake_memory_init(struct fake_memory *fake)
{
	memset(fake, 0, sizeof(*fake));
	fake->mem =
		(struct guest_mem){fake_memory_read, fake_memory_write, fake_memory_clean, fake};
}

/* Gives @script byte by byte, 16 of one value a draw; fails when it is at its end. */
struct fake_rng {
	struct rng rng;
	const u8 *script;
	size_t left;
	u32 draws;
};

static inline enum hv_error fake_rng_fill(void *ctx, void *buf, size_t length)
{
	struct fake_rng *fake = ctx;

	if (!fake->left)
		return HV_ENO_ENTROPY;
	memset(buf, *fake->script++, length);
	fake->left--;
	fake->draws++;
	return HV_OK;
}

static inline void fake_rng_init(struct fake_rng *fake, const u8 *script, size_t length)
{
	*fake = (struct fake_rng){{fake_rng_fill, fake}, script, length, 0};
}

static inline u8 io_in(io_handler handler, void *dev, u64 offset)
{
	struct io_access access = {.offset = offset, .size = 1};

	handler(dev, &access);
	return (u8)access.value;
}

static inline void io_out(io_handler handler, void *dev, u64 offset, u8 value)
{
	struct io_access access = {.offset = offset, .size = 1, .value = value, .is_write = true};

	handler(dev, &access);
}

/* The packed state of @obj, to be freed. */
static inline u8 *fake_save(const struct state_desc *desc, void *obj)
{
	u8 *buf = malloc(state_packed_size(desc));

	state_pack(desc, obj, buf);
	return buf;
}

/*
 * Loads @buf into the device @obj as a restore does: into a copy first, which is checked. @scratch
 * has room for desc->size bytes.
 */
static inline enum hv_error fake_load(const struct state_desc *desc, void *obj, void *scratch,
				      const u8 *buf)
{
	const char *why = NULL;
	enum hv_error err;

	memcpy(scratch, obj, desc->size);
	state_unpack(desc, scratch, buf);
	err = desc->check ? desc->check(scratch, &why) : HV_OK;
	if (err)
		return why ? err : HV_EIO;
	state_unpack(desc, obj, buf);
	if (desc->after_load)
		desc->after_load(obj);
	return HV_OK;
}

/* Whether @obj, saved and loaded into @fresh, is saved as the same bytes again. */
static inline bool fake_same_after_load(const struct state_desc *desc, void *obj, void *fresh)
{
	u8 *first = fake_save(desc, obj), *second = NULL;
	void *scratch = malloc(desc->size);
	bool same = fake_load(desc, fresh, scratch, first) == HV_OK;

	if (same) {
		second = fake_save(desc, fresh);
		same = !memcmp(first, second, state_packed_size(desc));
	}
	free(first);
	free(second);
	free(scratch);
	return same;
}

#endif
