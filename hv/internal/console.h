/* SPDX-License-Identifier: MIT */
/*
 * One console for the monitor and all guests. It shows one of them, the focus, and gives it what is
 * typed; what the other guests write waits in their rings. Firmware context only, but for what a
 * guest's UART calls.
 */
#ifndef HV_CONSOLE_H
#define HV_CONSOLE_H

#include <internal/vm.h>

/* Ctrl-]: between a guest's console and the monitor. */
#define CONSOLE_ESCAPE ((u8)0x1d)

/* Connects vm->chardev to vm->console. */
void console_init_vm(struct vm *vm);
/* @vm is about to end: shows what it wrote last, and the monitor if it had the focus. */
void console_forget_vm(struct vm *vm);
/* @to takes the place of @from, which is about to end: what it wrote, and was typed for it. */
void console_hand_over(struct vm *from, struct vm *to);

/* Shows @vm, NULL for the monitor: what it wrote and nobody saw comes first. */
void console_focus(struct vm *vm);
struct vm *console_focused(void);

/* Shows what waits, then takes what was typed. Once per slice. */
void console_poll(void);
/* Shows what waits: output of the guest in focus, log lines, events, and what was printed. */
void console_flush(void);
/*
 * Shows what was printed so far. What is printed waits for the next console_poll() otherwise, so
 * whoever takes long says first what he does, and calls this.
 */
void console_push(void);

/* Gives @vm @length bytes as if typed; what its ring has no room for is dropped. */
void console_type(struct vm *vm, const u8 *buf, size_t length);

/* The monitor's text; control characters but line feed and tab are shown as '?'. */
HV_PRINTF(1, 2) void console_print(const char *format, ...); /* 1,023 bytes at most */
void console_write_text(const char *text, size_t length);
/* Takes the last character of the line back. */
void console_erase(void);
/* Ends the line that is begun on the console, whoever began it. */
void console_fresh_line(void);
/* The bytes of one event, as they are. Called by event.c alone. */
void console_write_event(const u8 *buf, size_t length);

#endif
