/* SPDX-License-Identifier: MIT */
/*
 * The device of the payload tests. It tells the guest what anew made of an instruction: every
 * access to its window is noted, and the guest reads back what arrived. Only made when the
 * configuration asks for it.
 *
 * One page of MMIO (register testdev_mmio_io for TESTDEV_MMIO_BYTES, unaligned accesses passed on):
 *
 *	0x000-0x7ff  window: accesses are noted; reads give TESTDEV_READ_VALUE cut to their size
 *	TESTDEV_*    registers of 8 bytes, little-endian; any part may be read. Not noted
 *
 * Two ports, for machines that have ports: testdev_exit_io (up to 4 bytes wide) and
 * testdev_putc_io (1 byte), the same as the registers TESTDEV_EXIT and TESTDEV_PUTC.
 */
#ifndef DEVICES_TESTDEV_H
#define DEVICES_TESTDEV_H

#include <hv/io.h>
#include <hv/state.h>

#define TESTDEV_MMIO_BYTES 4096

#define TESTDEV_MAGIC      0x800 /* read: TESTDEV_MAGIC_VALUE */
#define TESTDEV_COUNT      0x808 /* read: accesses to the window; write: sets it */
#define TESTDEV_OFFSET     0x810 /* read: of the last access to the window */
#define TESTDEV_SIZE       0x818 /* read: its size, bytes */
#define TESTDEV_IS_WRITE   0x820 /* read: 1 if it was a write */
#define TESTDEV_VALUE      0x828 /* read: what was written, or given to a read */
#define TESTDEV_READ_VALUE 0x830 /* what reads of the window give; a write sets all 8 bytes */
#define TESTDEV_EXIT       0x838 /* write: ends the VM with this code; reads 0 */
#define TESTDEV_PUTC       0x840 /* write: puts out the lowest byte; reads 0 */

#define TESTDEV_WINDOW_BYTES 0x800
#define TESTDEV_MAGIC_VALUE  0x7473657477656e61ULL /* "anewtest" */

struct testdev_ops {
	void (*exit)(void *ctx, u32 code);
	void (*putc)(void *ctx, u8 byte);
};

/* Belongs to whoever runs the VM's virtual CPU. */
struct testdev {
	u64 count;
	u64 offset;
	u64 size;
	u64 is_write;
	u64 value;
	u64 read_value;
	const struct testdev_ops *ops;
	void *ctx;
};

extern const struct state_desc testdev_state;

/* @ops and @ctx must outlive the device; ops are called during the guest's access. */
void testdev_init(struct testdev *dev, const struct testdev_ops *ops, void *ctx);
void testdev_reset(struct testdev *dev);

/* io_handlers of struct testdev. */
enum io_result testdev_mmio_io(void *dev, struct io_access *access);
enum io_result testdev_exit_io(void *dev, struct io_access *access);
enum io_result testdev_putc_io(void *dev, struct io_access *access);

#endif
