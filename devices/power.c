/* SPDX-License-Identifier: MIT */
#include <devices/power.h>

#include <string.h>

/* ACPI 6.5, section 4.8.3.7, "Sleep Control Register". */
#define SLEEP_TYPE_SHIFT 2
#define SLEEP_TYPE_MASK  0x1c
#define SLEEP_ENABLE     0x20 /* reads as 0 */

#define KEYBOARD_RESET 0xfe /* pulse output port bit 0 */

enum io_result power_sleep_io(void *ctx, struct io_access *access)
{
	struct power *power = ctx;
	u8 value = (u8)access->value;

	/* Sleep status: WAK_STS is never set, as no state but S5 is entered. */
	if (access->offset & 1) {
		if (!access->is_write)
			access->value = 0;
		return IO_DONE;
	}
	if (!access->is_write) {
		access->value = power->control;
		return IO_DONE;
	}
	power->control = value & SLEEP_TYPE_MASK;
	if ((value & SLEEP_ENABLE) && power->control >> SLEEP_TYPE_SHIFT == POWER_SLEEP_TYPE_S5)
		power->ops->power_off(power->ctx);
	return IO_DONE;
}

enum io_result power_reset_io(void *ctx, struct io_access *access)
{
	struct power *power = ctx;

	if (!access->is_write)
		access->value = 0;
	else if ((u8)access->value == POWER_RESET_VALUE)
		power->ops->reset(power->ctx);
	return IO_DONE;
}

enum io_result power_keyboard_io(void *ctx, struct io_access *access)
{
	struct power *power = ctx;

	/* Status 0: both buffers are empty, so that a guest dares to send the command. */
	if (!access->is_write)
		access->value = 0;
	else if ((u8)access->value == KEYBOARD_RESET)
		power->ops->reset(power->ctx);
	return IO_DONE;
}

void power_reset(struct power *power)
{
	power->control = 0;
}

void power_init(struct power *power, const struct power_ops *ops, void *ctx)
{
	memset(power, 0, sizeof(*power));
	power->ops = ops;
	power->ctx = ctx;
}

static enum hv_error check(const void *obj, const char **why)
{
	const struct power *power = obj;

	if (power->control & ~SLEEP_TYPE_MASK) {
		*why = "the sleep control register has bits that do not exist";
		return HV_EINVALID;
	}
	return HV_OK;
}

#define POWER_FIELDS(SAVED, TRANSIENT)                                                             \
	SAVED(struct power, control)                                                               \
	TRANSIENT(struct power, pad, "padding")                                                    \
	TRANSIENT(struct power, ops, "wiring")                                                     \
	TRANSIENT(struct power, ctx, "wiring")

STATE_DEFINE(power_state, "power", 1, struct power, POWER_FIELDS, .check = check);
