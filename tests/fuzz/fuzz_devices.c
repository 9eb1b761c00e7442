/* SPDX-License-Identifier: MIT */
/*
 * Drives every device with accesses, input, time and loaded states that nobody would choose. Each
 * step takes some bytes: device, kind of step, offset, size, value. At the end every device must be
 * saved, loaded into a fresh one and saved again as the same bytes.
 */
#include <devices/pit.h>
#include <devices/power.h>
#include <devices/rtc_cmos.h>
#include <devices/testdev.h>
#include <devices/uart_16550.h>
#include <devices/uart_pl011.h>
#include <devices/vmclock.h>
#include <devices/vmgenid.h>

#include "../unit/device_fakes.h"

struct board {
	struct fake_clock clock;
	struct fake_irq irq;
	struct fake_chardev chardev;
	struct fake_memory memory;
	struct rng rng;
	u64 rng_state;
	struct resources resources;
	struct uart_16550 uart;
	struct uart_pl011 pl011;
	struct pit pit;
	struct rtc_cmos rtc;
	struct power power;
	struct vmgenid genid;
	struct vmclock vmclock;
	struct testdev testdev;
};

static enum hv_error fill(void *ctx, void *buf, size_t length)
{
	u64 *x = ctx;

	for (size_t i = 0; i < length; i++) {
		*x = *x * 6364136223846793005U + 1442695040888963407U;
		((u8 *)buf)[i] = (u8)(*x >> 56);
	}
	return HV_OK;
}

static enum hv_error alloc_memory(void *ctx, u64 bytes, gpa_t *base)
{
	(void)ctx;
	(void)bytes;
	*base = GPA(FAKE_MEMORY_BASE);
	return HV_OK;
}

static enum hv_error alloc_line(void *ctx, struct irq_line *line)
{
	*line = ((struct board *)ctx)->irq.line;
	return HV_OK;
}

static enum hv_error get_line(void *ctx, u32 number, struct irq_line *line)
{
	(void)number;
	return alloc_line(ctx, line);
}

static void nothing(void *ctx)
{
	(void)ctx;
}

static void nothing_code(void *ctx, u32 code)
{
	(void)ctx;
	(void)code;
}

static void nothing_byte(void *ctx, u8 byte)
{
	(void)ctx;
	(void)byte;
}

static const struct power_ops power_ops = {nothing, nothing};
static const struct testdev_ops testdev_ops = {nothing_code, nothing_byte};

static void board_init(struct board *b)
{
	fake_clock_init(&b->clock);
	fake_irq_init(&b->irq, 4);
	fake_chardev_init(&b->chardev);
	fake_memory_init(&b->memory);
	b->rng = (struct rng){fill, &b->rng_state};
	b->rng_state = 1;
	b->resources = (struct resources){alloc_memory, alloc_line, get_line, b};
	uart_16550_init(&b->uart, &b->irq.line, &b->chardev.chardev, &b->clock.clock);
	uart_pl011_init(&b->pl011, &b->irq.line, &b->chardev.chardev, &b->clock.clock);
	pit_init(&b->pit, &b->clock.clock, &b->irq.line);
	b->clock.clock.wall = (s64)(1700000000 * NS_PER_SEC);
	rtc_cmos_init(&b->rtc, &b->clock.clock);
	power_init(&b->power, &power_ops, b);
	testdev_init(&b->testdev, &testdev_ops, b);
	if (vmgenid_new(&b->genid, &b->resources, &b->memory.mem, &b->rng) ||
	    vmgenid_activate(&b->genid) ||
	    vmclock_new(&b->vmclock, &b->resources, &b->memory.mem, &b->rng, KIB(4)) ||
	    vmclock_activate(&b->vmclock))
		abort();
}

static const struct {
	const struct state_desc *desc;
	size_t offset;
} devices[] = {
	{&uart_16550_state, offsetof(struct board, uart)},
	{&uart_pl011_state, offsetof(struct board, pl011)},
	{&pit_state, offsetof(struct board, pit)},
	{&rtc_cmos_state, offsetof(struct board, rtc)},
	{&power_state, offsetof(struct board, power)},
	{&vmgenid_state, offsetof(struct board, genid)},
	{&vmclock_state, offsetof(struct board, vmclock)},
	{&testdev_state, offsetof(struct board, testdev)},
};

static const struct {
	io_handler handler;
	size_t offset;
	u32 length;
	u8 size_max;
} regions[] = {
	{uart_16550_io, offsetof(struct board, uart), UART_16550_PORTS, 1},
	{uart_pl011_io, offsetof(struct board, pl011), UART_PL011_BYTES, 4},
	{pit_io, offsetof(struct board, pit), PIT_PORTS, 1},
	{pit_port61, offsetof(struct board, pit), 1, 1},
	{rtc_cmos_io, offsetof(struct board, rtc), RTC_CMOS_PORTS, 1},
	{power_sleep_io, offsetof(struct board, power), POWER_SLEEP_PORTS, 1},
	{power_reset_io, offsetof(struct board, power), 1, 1},
	{power_keyboard_io, offsetof(struct board, power), 1, 1},
	{testdev_mmio_io, offsetof(struct board, testdev), TESTDEV_MMIO_BYTES, 8},
	{testdev_exit_io, offsetof(struct board, testdev), 4, 4},
	{testdev_putc_io, offsetof(struct board, testdev), 1, 1},
};

struct input {
	const u8 *data;
	size_t left;
};

static u8 take(struct input *in)
{
	if (!in->left)
		return 0;
	in->left--;
	return *in->data++;
}

static u64 take_bytes(struct input *in, u32 count)
{
	u64 value = 0;

	while (count--)
		value = value << 8 | take(in);
	return value;
}

static void access_step(struct board *b, struct input *in)
{
	u32 which = take(in) % ARRAY_COUNT(regions);
	u8 how = take(in);
	struct io_access access = {.size = (u8)(1 << (how & 3)), .is_write = how & 4};

	if (access.size > regions[which].size_max)
		access.size = regions[which].size_max;
	access.offset = take_bytes(in, 2) % (regions[which].length - access.size + 1);
	if (access.is_write)
		access.value = take_bytes(in, access.size);
	if (regions[which].handler((char *)b + regions[which].offset, &access) != IO_DONE)
		abort();
	if (!access.is_write && access.size < 8 && access.value >> 8 * access.size)
		abort();
}

static void serial_step(struct board *b, struct input *in)
{
	u32 count = take(in) % 32;

	while (count-- && b->chardev.in_count < sizeof(b->chardev.in))
		b->chardev.in[b->chardev.in_count++] = take(in);
	uart_16550_input(&b->uart);
	uart_pl011_input(&b->pl011);
	b->chardev.room = take(in) % 40;
	uart_16550_output_ready(&b->uart);
	uart_pl011_output_ready(&b->pl011);
}

static void genid_step(struct board *b, struct input *in)
{
	char text[VMGENID_TEXT_SIZE];
	u8 id[VMGENID_BYTES], again[VMGENID_BYTES];

	for (u32 i = 0; i < sizeof(id); i++)
		id[i] = take(in);
	vmgenid_format(id, text, sizeof(text));
	if (vmgenid_parse(text, again) || memcmp(id, again, sizeof(id)))
		abort();
	text[take(in) % (VMGENID_TEXT_SIZE - 1)] = (char)take(in);
	if (vmgenid_parse(text, again) == HV_OK && vmgenid_update(&b->genid, again) == HV_OK)
		vmgenid_notify_guest(&b->genid);
	if (vmgenid_rotate(&b->genid))
		abort();
}

static void vmclock_step(struct board *b, struct input *in)
{
	const struct vmclock_page *page = (const void *)b->memory.bytes;
	const struct vmclock_change change = {.generation = take_bytes(in, 8),
					      .disrupted = take(in) & 1,
					      .marker = take_bytes(in, 8)};
	u64 marker = b->vmclock.marker;

	if (change.generation == b->vmclock.generation && change.generation)
		return;
	if (vmclock_update(&b->vmclock, &change))
		abort();
	vmclock_notify_guest(&b->vmclock);
	if (page->seq_count & 1 || page->disruption_marker != b->vmclock.marker ||
	    page->vm_generation_counter != b->vmclock.generation ||
	    (b->vmclock.marker != marker) != change.disrupted)
		abort();
}

/* A state out of thin air: refused, or usable from then on. */
static void load_step(struct board *b, struct input *in)
{
	u32 which = take(in) % ARRAY_COUNT(devices);
	const struct state_desc *desc = devices[which].desc;
	void *obj = (char *)b + devices[which].offset;
	u8 *buf = fake_save(desc, obj);
	void *scratch = malloc(desc->size);
	u32 changes = take(in) % 16;
	enum hv_error err;

	while (changes--)
		buf[take_bytes(in, 2) % state_packed_size(desc)] = take(in);
	err = fake_load(desc, obj, scratch, buf);
	if (err == HV_EIO)
		abort(); /* refused without a reason */
	free(buf);
	free(scratch);
}

static void reset_all(struct board *b)
{
	uart_16550_reset(&b->uart);
	uart_pl011_reset(&b->pl011);
	pit_reset(&b->pit);
	rtc_cmos_reset(&b->rtc);
	power_reset(&b->power);
	testdev_reset(&b->testdev);
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	struct board *b = malloc(sizeof(*b)), *fresh = malloc(sizeof(*fresh));
	struct input in = {data, size};

	board_init(b);
	board_init(fresh);
	/* Nothing comes and nothing goes while the fresh devices are loaded. */
	fresh->chardev.room = 0;
	while (in.left) {
		switch (take(&in) % 16) {
		case 0:
			serial_step(b, &in);
			break;
		case 1:
			genid_step(b, &in);
			break;
		case 7:
			vmclock_step(b, &in);
			break;
		case 2:
			load_step(b, &in);
			break;
		case 3:
			reset_all(b);
			break;
		case 4:
		case 5:
			fake_clock_advance(&b->clock, take_bytes(&in, 3));
			break;
		case 6:
			/* The guest did not run for long, up to 36 years. */
			b->clock.ns += take_bytes(&in, 3) << 36;
			b->clock.ns &= UINT64_MAX >> 1;
			clock_expire(&b->clock.clock);
			break;
		default:
			access_step(b, &in);
			break;
		}
	}
	for (u32 i = 0; i < ARRAY_COUNT(devices); i++)
		if (!fake_same_after_load(devices[i].desc, (char *)b + devices[i].offset,
					  (char *)fresh + devices[i].offset))
			abort();
	free(b);
	free(fresh);
	return 0;
}
