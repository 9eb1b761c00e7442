/* SPDX-License-Identifier: MIT */
/*
 * The other end of a serial line, as handed to a UART: bytes go out through write(), bytes that a
 * person typed come in through read() after the device was told that there are some.
 */
#ifndef HV_CHARDEV_H
#define HV_CHARDEV_H

#include <hv/types.h>

struct chardev {
	/* Takes up to @length bytes, returns how many it took: fewer is back-pressure. */
	size_t (*write)(void *ctx, const u8 *buf, size_t length);
	/* Gives up to @length waiting bytes, returns how many. */
	size_t (*read)(void *ctx, u8 *buf, size_t length);
	void *ctx;
};

static inline size_t chardev_write(const struct chardev *dev, const u8 *buf, size_t length)
{
	return dev->write(dev->ctx, buf, length);
}

static inline size_t chardev_read(const struct chardev *dev, u8 *buf, size_t length)
{
	return dev->read(dev->ctx, buf, length);
}

#endif
