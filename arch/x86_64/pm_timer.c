/* SPDX-License-Identifier: MIT */
#include <arch/tsc.h>
#include <internal/acpi.h>

/* FADT. ACPI 6.5 section 5.2.9 */
#define FADT_PM_TMR_BLK       76
#define FADT_PM_TMR_LEN       91
#define FADT_FLAGS            112
#define FADT_FLAG_TMR_VAL_EXT BIT(8)
#define FADT_FLAG_HW_REDUCED  BIT(20)
#define FADT_V1_LENGTH        116

struct pm_timer pm_timer_find(const void *rsdp)
{
	const u8 *fadt = rsdp ? acpi_find_table(rsdp, "FACP") : NULL;
	struct pm_timer timer = {0};
	u64 flags, port;

	if (!fadt || acpi_get(fadt + 4, 4) < FADT_V1_LENGTH)
		return timer;
	flags = acpi_get(fadt + FADT_FLAGS, 4);
	port = acpi_get(fadt + FADT_PM_TMR_BLK, 4);
	if ((flags & FADT_FLAG_HW_REDUCED) || fadt[FADT_PM_TMR_LEN] != 4 || port > UINT16_MAX - 3)
		return timer;
	timer.port = (u16)port;
	timer.mask = flags & FADT_FLAG_TMR_VAL_EXT ? UINT32_MAX : 0xffffff;
	return timer;
}
