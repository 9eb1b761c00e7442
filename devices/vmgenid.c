/* SPDX-License-Identifier: MIT */
#include <devices/vmgenid.h>

#include <stdio.h>
#include <string.h>

#define DRAWS 5 /* one, and four more when what came can't be used */

static bool is_zero(const u8 id[VMGENID_BYTES])
{
	static const u8 zero[VMGENID_BYTES];

	return !memcmp(id, zero, VMGENID_BYTES);
}

/* A new id that is neither zero nor @old. */
static enum hv_error draw(const struct rng *rng, const u8 old[VMGENID_BYTES], u8 id[VMGENID_BYTES])
{
	for (u32 i = 0; i < DRAWS; i++) {
		enum hv_error err = rng_fill(rng, id, VMGENID_BYTES);

		if (err)
			return err;
		if (!is_zero(id) && memcmp(id, old, VMGENID_BYTES))
			return HV_OK;
	}
	return HV_ENO_ENTROPY;
}

static enum hv_error publish(struct vmgenid *dev, const u8 id[VMGENID_BYTES])
{
	enum hv_error err = guest_write(dev->mem, dev->address, id, VMGENID_BYTES);

	if (err)
		return err;
	guest_clean(dev->mem, dev->address, VMGENID_BYTES);
	return HV_OK;
}

static bool address_ok(gpa_t address)
{
	return address.v && !(address.v & (VMGENID_ALIGN - 1));
}

static enum hv_error place(struct vmgenid *dev, gpa_t address, u32 line_number)
{
	if (!address_ok(address))
		return HV_EINVALID;
	dev->address = address;
	dev->home = address;
	dev->line_number = line_number;
	return HV_OK;
}

static void init(struct vmgenid *dev, const struct guest_mem *mem, const struct rng *rng)
{
	memset(dev, 0, sizeof(*dev));
	dev->mem = mem;
	dev->rng = rng;
}

enum hv_error vmgenid_new(struct vmgenid *dev, const struct resources *resources,
			  const struct guest_mem *mem, const struct rng *rng)
{
	gpa_t address;
	enum hv_error err;

	init(dev, mem, rng);
	err = resources->alloc_memory(resources->ctx, VMGENID_BYTES, &address);
	if (err)
		return err;
	err = resources->alloc_line(resources->ctx, &dev->line);
	if (err)
		return err;
	return place(dev, address, dev->line.number);
}

enum hv_error vmgenid_from_parts(struct vmgenid *dev, const struct resources *resources,
				 const struct guest_mem *mem, const struct rng *rng, gpa_t address,
				 u32 line_number)
{
	enum hv_error err;

	init(dev, mem, rng);
	err = resources->get_line(resources->ctx, line_number, &dev->line);
	if (err)
		return err;
	return place(dev, address, line_number);
}

enum hv_error vmgenid_activate(struct vmgenid *dev)
{
	u8 id[VMGENID_BYTES];
	enum hv_error err;

	if (!is_zero(dev->id))
		return publish(dev, dev->id);
	err = draw(dev->rng, dev->id, id);
	if (!err)
		err = publish(dev, id);
	if (!err)
		memcpy(dev->id, id, VMGENID_BYTES);
	return err;
}

enum hv_error vmgenid_update(struct vmgenid *dev, const u8 id[VMGENID_BYTES])
{
	enum hv_error err;

	if (is_zero(id))
		return HV_EINVALID;
	err = publish(dev, id);
	if (err)
		return err;
	if (memcmp(dev->id, id, VMGENID_BYTES))
		dev->generation++;
	memmove(dev->id, id, VMGENID_BYTES);
	return HV_OK;
}

enum hv_error vmgenid_rotate(struct vmgenid *dev)
{
	u8 id[VMGENID_BYTES];
	enum hv_error err = draw(dev->rng, dev->id, id);

	return err ? err : vmgenid_update(dev, id);
}

void vmgenid_notify_guest(struct vmgenid *dev)
{
	irq_pulse(&dev->line);
}

/*
 * Where in the id the digits of the text come from. RFC 4122 text is big-endian; in memory the
 * first three fields of a GUID are little-endian.
 */
static const u8 text_order[VMGENID_BYTES] = {3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15};

static bool dash_after(u32 byte)
{
	return byte == 3 || byte == 5 || byte == 7 || byte == 9;
}

void vmgenid_format(const u8 id[VMGENID_BYTES], char *text, size_t size)
{
	char buf[VMGENID_TEXT_SIZE];
	char *to = buf;

	for (u32 i = 0; i < VMGENID_BYTES; i++) {
		to += snprintf(to, 3, "%02x", id[text_order[i]]);
		if (dash_after(i))
			*to++ = '-';
	}
	*to = 0;
	snprintf(text, size, "%s", buf);
}

static u64 word(const u8 *bytes)
{
	u64 value = 0;

	for (u32 i = 8; i-- > 0;)
		value = value << 8 | bytes[i];
	return value;
}

void vmgenid_format_words(const u8 id[VMGENID_BYTES], char *text, size_t size)
{
	snprintf(text, size, "0x%016llx:0x%016llx", (unsigned long long)word(id),
		 (unsigned long long)word(id + 8));
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* Two digits at *@text, which moves on. */
static bool take_byte(const char **text, u8 *byte)
{
	int high = hex_digit((*text)[0]), low;

	if (high < 0)
		return false;
	low = hex_digit((*text)[1]);
	if (low < 0)
		return false;
	*byte = (u8)(high << 4 | low);
	*text += 2;
	return true;
}

static bool take_char(const char **text, char c)
{
	if (**text != c)
		return false;
	++*text;
	return true;
}

static bool parse_guid(const char *text, u8 id[VMGENID_BYTES])
{
	for (u32 i = 0; i < VMGENID_BYTES; i++) {
		if (!take_byte(&text, &id[text_order[i]]))
			return false;
		if (dash_after(i) && !take_char(&text, '-'))
			return false;
	}
	return !*text;
}

static bool parse_words(const char *text, u8 id[VMGENID_BYTES])
{
	for (u32 half = 0; half < 2; half++) {
		if (half && !take_char(&text, ':'))
			return false;
		if (!take_char(&text, '0') || !take_char(&text, 'x'))
			return false;
		for (u32 i = 8; i-- > 0;)
			if (!take_byte(&text, &id[half * 8 + i]))
				return false;
	}
	return !*text;
}

enum hv_error vmgenid_parse(const char *text, u8 id[VMGENID_BYTES])
{
	u8 parsed[VMGENID_BYTES];

	if (!parse_guid(text, parsed) && !parse_words(text, parsed))
		return HV_EINVALID;
	memcpy(id, parsed, VMGENID_BYTES);
	return HV_OK;
}

static enum hv_error check(const void *obj, const char **why)
{
	const struct vmgenid *dev = obj;

	if (!address_ok(dev->address)) {
		*why = "the address of the id is 0 or not aligned";
		return HV_EINVALID;
	}
	if (dev->home.v && dev->home.v != dev->address.v) {
		*why = "the id lies elsewhere in this machine";
		return HV_EINVALID;
	}
	if (dev->line.chip && dev->line.number != dev->line_number) {
		*why = "the interrupt line is another in this machine";
		return HV_EINVALID;
	}
	if (is_zero(dev->id)) {
		*why = "the id is zero";
		return HV_EINVALID;
	}
	return HV_OK;
}

#define VMGENID_FIELDS(SAVED, TRANSIENT)                                                           \
	SAVED(struct vmgenid, id)                                                                  \
	SAVED(struct vmgenid, address)                                                             \
	SAVED(struct vmgenid, generation)                                                          \
	SAVED(struct vmgenid, line_number)                                                         \
	TRANSIENT(struct vmgenid, pad, "padding")                                                  \
	TRANSIENT(struct vmgenid, home, "the machine's layout, to check against")                  \
	TRANSIENT(struct vmgenid, line, "wiring")                                                  \
	TRANSIENT(struct vmgenid, mem, "wiring")                                                   \
	TRANSIENT(struct vmgenid, rng, "wiring")

STATE_DEFINE(vmgenid_state, "vmgenid", 1, struct vmgenid, VMGENID_FIELDS, .check = check);
