/* SPDX-License-Identifier: MIT */
/*
 * The firmware's other processors, by its MP services, and an interrupt of its own. What it calls
 * here runs on the processor that it started, in its context there, or as its interrupt handler.
 */
#include "uefi.h"

#include <internal/cpu.h>
#include <internal/host.h>

/* PI 1.8, volume 2, section 13.4: MP services protocol. */
#define MP_SERVICES_GUID                                                                           \
	{                                                                                          \
		0x3fdda605, 0xa76e, 0x4f46,                                                        \
		{                                                                                  \
			0xad, 0x29, 0x12, 0xf4, 0x53, 0x1b, 0x3d, 0x08                             \
		}                                                                                  \
	}

struct processor_info {
	UINT64 id;
	UINT32 status;
	UINT32 location[3];
	UINT64 extended[16]; /* room for what later versions add */
};

#define STATUS_BOOT    0x1u
#define STATUS_ENABLED 0x2u
#define STATUS_HEALTHY 0x4u

struct mp_services {
	EFI_STATUS(EFIAPI *count)(struct mp_services *self, UINTN *all, UINTN *enabled);
	EFI_STATUS(EFIAPI *info)
	(struct mp_services *self, UINTN number, struct processor_info *info);
	void *start_all;
	EFI_STATUS(EFIAPI *start_one)
	(struct mp_services *self, void(EFIAPI *procedure)(void *ctx), UINTN number,
	 EFI_EVENT event, UINTN timeout_us, void *ctx, BOOLEAN *finished);
	void *switch_boot, *enable, *who_am_i;
};

/* PI 1.8, volume 2, section 12.3: CPU architectural protocol. */
#define CPU_ARCH_GUID                                                                              \
	{                                                                                          \
		0x26baccb1, 0x6f42, 0x11d4,                                                        \
		{                                                                                  \
			0xbc, 0xe7, 0x00, 0x80, 0xc7, 0x3c, 0x88, 0x81                             \
		}                                                                                  \
	}

struct cpu_arch_protocol {
	void *flush, *enable, *disable, *state, *init;
	EFI_STATUS(EFIAPI *register_handler)
	(struct cpu_arch_protocol *self, INTN vector,
	 void(EFIAPI *handler)(INTN vector, void *context));
	void *timer_value, *set_attributes;
};

#define WAIT_STEP_US 1000u
#define WAIT_STEPS   10000u

/* One that was started, and what the firmware signals when it is back. */
static struct {
	u64 id;
	EFI_EVENT back;
	void (*entry)(void *ctx);
	void *ctx;
} started[CPU_MAX];

static void (*interrupt_handler)(void);

static struct mp_services *services(void)
{
	static const EFI_GUID guid = MP_SERVICES_GUID;

	return uefi_locate(&guid);
}

/* Of processor @number; false: it is the boot CPU, or not to be used. */
static bool usable(struct mp_services *mp, UINTN number, u64 *id)
{
	struct processor_info info = {0};

	if (EFI_ERROR(mp->info(mp, number, &info)))
		return false;
	*id = info.id;
	return !(info.status & STATUS_BOOT) && (info.status & STATUS_ENABLED) &&
	       (info.status & STATUS_HEALTHY);
}

u32 host_cpus(u64 *ids, u32 room)
{
	struct mp_services *mp = services();
	UINTN all = 0, enabled = 0;
	u32 count = 0;

	UEFI_CHECK_CONTEXT();
	if (!mp || EFI_ERROR(mp->count(mp, &all, &enabled)))
		return 0;
	for (UINTN i = 0; i < all && count < room; i++)
		if (usable(mp, i, &ids[count]))
			count++;
	return count;
}

static bool find_number(struct mp_services *mp, u64 id, UINTN *number)
{
	UINTN all = 0, enabled = 0;
	u64 its;

	if (EFI_ERROR(mp->count(mp, &all, &enabled)))
		return false;
	for (*number = 0; *number < all; (*number)++)
		if (usable(mp, *number, &its) && its == id)
			return true;
	return false;
}

/* From the firmware's calling convention to this program's. */
static void EFIAPI enter(void *ctx)
{
	u32 slot = (u32)(UINTN)ctx;

	started[slot].entry(started[slot].ctx);
}

enum hv_error host_cpu_start(u64 id, void (*entry)(void *ctx), void *ctx)
{
	struct mp_services *mp = services();
	EFI_EVENT event;
	UINTN number;
	u32 slot = 0;

	UEFI_CHECK_CONTEXT();
	while (slot < CPU_MAX && started[slot].back)
		slot++;
	if (!mp || slot == CPU_MAX || !find_number(mp, id, &number))
		return HV_EUNSUPPORTED;
	if (EFI_ERROR(uefi_bs->CreateEvent(0, TPL_APPLICATION, NULL, NULL, &event)))
		return HV_ENO_MEMORY;
	started[slot].id = id;
	started[slot].back = event;
	started[slot].entry = entry;
	started[slot].ctx = ctx;
	if (EFI_ERROR(mp->start_one(mp, enter, number, event, 0, (void *)(UINTN)slot, NULL))) {
		uefi_bs->CloseEvent(event);
		started[slot].back = NULL;
		return HV_EIO;
	}
	return HV_OK;
}

bool host_cpu_wait(u64 id)
{
	u32 slot = 0;

	UEFI_CHECK_CONTEXT();
	while (slot < CPU_MAX && !(started[slot].back && started[slot].id == id))
		slot++;
	if (slot == CPU_MAX)
		return true;
	/* The firmware looks for it at its tick. */
	for (u32 i = 0; i < WAIT_STEPS; i++) {
		if (!EFI_ERROR(uefi_bs->CheckEvent(started[slot].back))) {
			uefi_bs->CloseEvent(started[slot].back);
			started[slot].back = NULL;
			return true;
		}
		uefi_bs->Stall(WAIT_STEP_US);
	}
	return false;
}

static void EFIAPI interrupt(INTN vector, void *context)
{
	(void)vector;
	(void)context;
	interrupt_handler();
}

enum hv_error host_interrupt_set(u8 vector, void (*handler)(void))
{
	static const EFI_GUID guid = CPU_ARCH_GUID;
	struct cpu_arch_protocol *cpu = uefi_locate(&guid);

	UEFI_CHECK_CONTEXT();
	if (!cpu)
		return HV_EUNSUPPORTED;
	if (handler)
		interrupt_handler = handler;
	return EFI_ERROR(cpu->register_handler(cpu, vector, handler ? interrupt : NULL))
		       ? HV_EUNSUPPORTED
		       : HV_OK;
}
