/* SPDX-License-Identifier: MIT */
/* What every x86_64 guest has: a serial line, a clock, and a way to turn itself off. */
DefinitionBlock ("", "DSDT", 2, "ANEW", "ANEWDSDT", 1)
{
	Scope (\_SB)
	{
		Device (COM1)
		{
			Name (_HID, EisaId ("PNP0501"))
			Name (_UID, 0)
			Name (_DDN, "COM1")
			Name (_CRS, ResourceTemplate ()
			{
				IO (Decode16, 0x03F8, 0x03F8, 0x01, 0x08)
				Interrupt (ResourceConsumer, Edge, ActiveHigh, Exclusive) { 4 }
			})
		}

		Device (RTC)
		{
			Name (_HID, EisaId ("PNP0B00"))
			Name (_CRS, ResourceTemplate ()
			{
				IO (Decode16, 0x0070, 0x0070, 0x01, 0x02)
			})
		}
	}

	/* SLP_TYP 5 in SLEEP_CONTROL_REG (ACPI 6.5, 7.4.2 and 4.8.3.7). */
	Name (\_S5, Package (4) { 5, 5, 0, 0 })
}
