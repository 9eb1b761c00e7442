/* SPDX-License-Identifier: MIT */
/* Payloads with several processors: how they are started, and their local APICs in both modes. */
#ifndef SMP_X86_64_H
#define SMP_X86_64_H

#include "payload.h"

#define SMP_MAX 8

#define APIC_BASE     0xfee00000u
#define APIC_ID       0x020
#define APIC_EOI      0x0b0
#define APIC_LDR      0x0d0
#define APIC_DFR      0x0e0
#define APIC_SVR      0x0f0
#define APIC_ICR      0x300
#define APIC_ICR_HIGH 0x310

#define ICR_LOWEST    0x00100u
#define ICR_NMI       0x00400u
#define ICR_INIT      0x00500u
#define ICR_STARTUP   0x00600u
#define ICR_LOGICAL   0x00800u
#define ICR_ASSERT    0x04000u
#define ICR_LEVEL     0x08000u
#define ICR_TO_SELF   0x40000u
#define ICR_TO_ALL    0x80000u
#define ICR_TO_OTHERS 0xc0000u

/* Where start-up IPIs send a processor: page SMP_PAGE, or the next one, which does the same. */
#define SMP_PAGE 0x8u

/* Puts the code there; once. */
void smp_prepare(void);
/*
 * What processor @id runs when it is started; it may return, and then waits without interrupts.
 * Before it starts.
 */
void smp_body(uint32_t id, void (*body)(uint32_t id));
/* How often processor @id has begun. */
uint32_t smp_begun(uint32_t id);
/* The initial APIC id of the processor that this runs on. */
uint32_t smp_id(void);

/* To x2APIC mode, for this processor alone. */
void apic_x2apic(void);
void apic_write(uint32_t reg, uint32_t value);
uint32_t apic_read(uint32_t reg);
/* A command with its destination, as the mode of this processor's APIC has it. */
void apic_send(uint32_t dest, uint32_t command);

#endif
