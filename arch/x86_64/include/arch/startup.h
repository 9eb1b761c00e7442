/* SPDX-License-Identifier: MIT */
/*
 * How a virtual CPU starts: INIT, after which all but the first wait for a start-up IPI. AMD APM
 * vol. 2 sections 14.1 and 15.28 (table 14-1), Intel SDM vol. 3 section 9.4. Either may come while
 * it runs on another processor: what becomes of it is done before its next entry, or when it is
 * saved.
 *
 * The VM's lock is held, or all of it is frozen.
 */
#ifndef ARCH_STARTUP_H
#define ARCH_STARTUP_H

#include <internal/vcpu.h>

/* INIT for @vcpu, whose APIC has been reset. */
void startup_init(struct vcpu *vcpu);
/* A start-up IPI: from page @page on, if it waits for one. */
void startup_begin(struct vcpu *vcpu, u8 page);
/* Does what has come: on the processor that @vcpu is loaded on, or while it isn't. */
void startup_settle(struct vcpu *vcpu);

/* The registers after power-on, but for what a kernel is entered with. */
void startup_power_on(struct x86_state *s);

#endif
