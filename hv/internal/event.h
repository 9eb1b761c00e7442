/* SPDX-License-Identifier: MIT */
/*
 * The event stream, for programs: one JSON object a line between a record separator and a line
 * feed, on the console stream. See hv/EVENTS.md. Firmware context only.
 */
#ifndef HV_EVENT_H
#define HV_EVENT_H

#include <internal/vm.h>

/* RFC 7464 section 2.2. In no guest's output while events are on: console.c sees to it. */
#define EVENT_MARK ((u8)0x1e)

/* Bytes of one event with mark and line end; members that don't fit are left out, all of them. */
#define EVENT_MAX 1024

/* Room for a string of CONFIG_NAME_MAX or VM_CAUSE_MAX bytes when it is quoted. */
#define EVENT_STRING_MAX 400

void event_enable(bool on);
bool event_enabled(void);

/*
 * Writes {"event":"@name",MEMBERS}; @members formats the rest of the object, text in it through
 * event_string(). An empty @members is no member. Does nothing while events are off.
 */
HV_PRINTF(2, 3) void event(const char *name, const char *members, ...);

/*
 * @text as a JSON string with its quotes, in @buf (EVENT_STRING_MAX bytes), cut if it is too long;
 * bytes that are not printable ASCII become '?'. Returns @buf.
 */
const char *event_string(char *buf, const char *text);

/* `vm` events for the VMs whose state has changed since. */
void event_poll(void);

#endif
