/* SPDX-License-Identifier: MIT */
#include <devices/testdev.h>

#include <string.h>

static u64 cut(u64 value, u32 size)
{
	return size < 8 ? value & (BIT(8 * size) - 1) : value;
}

static void note(struct testdev *dev, struct io_access *access)
{
	if (access->is_write)
		access->value = cut(access->value, access->size);
	else
		access->value = cut(dev->read_value, access->size);
	dev->count++;
	dev->offset = access->offset;
	dev->size = access->size;
	dev->is_write = access->is_write;
	dev->value = access->value;
}

static u64 read_reg(const struct testdev *dev, u64 reg)
{
	switch (reg) {
	case TESTDEV_MAGIC:
		return TESTDEV_MAGIC_VALUE;
	case TESTDEV_COUNT:
		return dev->count;
	case TESTDEV_OFFSET:
		return dev->offset;
	case TESTDEV_SIZE:
		return dev->size;
	case TESTDEV_IS_WRITE:
		return dev->is_write;
	case TESTDEV_VALUE:
		return dev->value;
	case TESTDEV_READ_VALUE:
		return dev->read_value;
	default:
		return 0;
	}
}

static void write_reg(struct testdev *dev, u64 reg, u64 value)
{
	switch (reg) {
	case TESTDEV_COUNT:
		dev->count = value;
		break;
	case TESTDEV_READ_VALUE:
		dev->read_value = value;
		break;
	case TESTDEV_EXIT:
		dev->ops->exit(dev->ctx, (u32)value);
		break;
	case TESTDEV_PUTC:
		dev->ops->putc(dev->ctx, (u8)value);
		break;
	default:
		break;
	}
}

enum io_result testdev_mmio_io(void *ctx, struct io_access *access)
{
	struct testdev *dev = ctx;
	u32 byte = access->offset & 7;

	if (access->offset < TESTDEV_WINDOW_BYTES)
		note(dev, access);
	else if (access->is_write)
		write_reg(dev, access->offset, cut(access->value, access->size));
	else
		access->value = cut(read_reg(dev, access->offset - byte) >> 8 * byte, access->size);
	return IO_DONE;
}

enum io_result testdev_exit_io(void *ctx, struct io_access *access)
{
	struct testdev *dev = ctx;

	if (access->is_write)
		dev->ops->exit(dev->ctx, (u32)cut(access->value, access->size));
	else
		access->value = 0;
	return IO_DONE;
}

enum io_result testdev_putc_io(void *ctx, struct io_access *access)
{
	struct testdev *dev = ctx;

	if (access->is_write)
		dev->ops->putc(dev->ctx, (u8)access->value);
	else
		access->value = 0;
	return IO_DONE;
}

void testdev_reset(struct testdev *dev)
{
	dev->count = 0;
	dev->offset = 0;
	dev->size = 0;
	dev->is_write = 0;
	dev->value = 0;
	dev->read_value = 0;
}

void testdev_init(struct testdev *dev, const struct testdev_ops *ops, void *ctx)
{
	memset(dev, 0, sizeof(*dev));
	dev->ops = ops;
	dev->ctx = ctx;
}

#define TESTDEV_FIELDS(SAVED, TRANSIENT)                                                           \
	SAVED(struct testdev, count)                                                               \
	SAVED(struct testdev, offset)                                                              \
	SAVED(struct testdev, size)                                                                \
	SAVED(struct testdev, is_write)                                                            \
	SAVED(struct testdev, value)                                                               \
	SAVED(struct testdev, read_value)                                                          \
	TRANSIENT(struct testdev, ops, "wiring")                                                   \
	TRANSIENT(struct testdev, ctx, "wiring")

STATE_DEFINE(testdev_state, "testdev", 1, struct testdev, TESTDEV_FIELDS);
