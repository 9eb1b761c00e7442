/* SPDX-License-Identifier: MIT */
/*
 * Off and again: the sleep registers of hardware-reduced ACPI (ACPI 6.5, section 4.8.3.7), the
 * reset register (section 4.8.3.6), and the one command of a PC's keyboard controller that guests
 * use to reset. Each is one byte wide; the FADT says where they are.
 */
#ifndef DEVICES_POWER_H
#define DEVICES_POWER_H

#include <hv/io.h>
#include <hv/state.h>

#define POWER_SLEEP_PORTS   2 /* offset 0: sleep control, 1: sleep status */
#define POWER_SLEEP_TYPE_S5 5 /* first element of \_S5 */
#define POWER_RESET_VALUE   6 /* RESET_VALUE of the FADT */

struct power_ops {
	void (*power_off)(void *ctx);
	void (*reset)(void *ctx);
};

/* Belongs to whoever runs the VM's virtual CPU. */
struct power {
	u8 control; /* SLP_TYP as last written */
	u8 pad[7];
	const struct power_ops *ops;
	void *ctx;
};

extern const struct state_desc power_state;

/* @ops and @ctx must outlive the device; ops are called during the guest's access. */
void power_init(struct power *power, const struct power_ops *ops, void *ctx);
void power_reset(struct power *power);

/* io_handlers of struct power: the sleep registers, the reset register, port 0x64. */
enum io_result power_sleep_io(void *power, struct io_access *access);
enum io_result power_reset_io(void *power, struct io_access *access);
enum io_result power_keyboard_io(void *power, struct io_access *access);

#endif
