/* SPDX-License-Identifier: MIT */
/*
 * What every arm64 guest has: processors and a serial line; PSCI turns it off. CPUN, UADR and UIRQ
 * are patched by name (acpi_patch_u32); what they hold here only makes their encoding 32 bits wide.
 */
DefinitionBlock ("", "DSDT", 2, "ANEW", "ANEWDSDT", 1)
{
	Scope (\_SB)
	{
		/* How many processors there are, by their number in the MADT. */
		Name (CPUN, 0xAABBCCDD)

		Method (CPST, 1)
		{
			If (Arg0 < CPUN)
			{
				Return (0x0F)
			}
			Return (0)
		}

		Device (CP00)
		{
			Name (_HID, "ACPI0007")
			Name (_UID, 0)
			Method (_STA)
			{
				Return (CPST (0))
			}
		}

		Device (CP10)
		{
			Name (_HID, "ACPI0007")
			Name (_UID, 1)
			Method (_STA)
			{
				Return (CPST (1))
			}
		}

		Device (CP20)
		{
			Name (_HID, "ACPI0007")
			Name (_UID, 2)
			Method (_STA)
			{
				Return (CPST (2))
			}
		}

		Device (CP30)
		{
			Name (_HID, "ACPI0007")
			Name (_UID, 3)
			Method (_STA)
			{
				Return (CPST (3))
			}
		}

		Device (CP40)
		{
			Name (_HID, "ACPI0007")
			Name (_UID, 4)
			Method (_STA)
			{
				Return (CPST (4))
			}
		}

		Device (CP50)
		{
			Name (_HID, "ACPI0007")
			Name (_UID, 5)
			Method (_STA)
			{
				Return (CPST (5))
			}
		}

		Device (CP60)
		{
			Name (_HID, "ACPI0007")
			Name (_UID, 6)
			Method (_STA)
			{
				Return (CPST (6))
			}
		}

		Device (CP70)
		{
			Name (_HID, "ACPI0007")
			Name (_UID, 7)
			Method (_STA)
			{
				Return (CPST (7))
			}
		}

		Device (CP80)
		{
			Name (_HID, "ACPI0007")
			Name (_UID, 8)
			Method (_STA)
			{
				Return (CPST (8))
			}
		}

		Device (CP90)
		{
			Name (_HID, "ACPI0007")
			Name (_UID, 9)
			Method (_STA)
			{
				Return (CPST (9))
			}
		}

		Device (CPA0)
		{
			Name (_HID, "ACPI0007")
			Name (_UID, 10)
			Method (_STA)
			{
				Return (CPST (10))
			}
		}

		Device (CPB0)
		{
			Name (_HID, "ACPI0007")
			Name (_UID, 11)
			Method (_STA)
			{
				Return (CPST (11))
			}
		}

		Device (CPC0)
		{
			Name (_HID, "ACPI0007")
			Name (_UID, 12)
			Method (_STA)
			{
				Return (CPST (12))
			}
		}

		Device (CPD0)
		{
			Name (_HID, "ACPI0007")
			Name (_UID, 13)
			Method (_STA)
			{
				Return (CPST (13))
			}
		}

		Device (CPE0)
		{
			Name (_HID, "ACPI0007")
			Name (_UID, 14)
			Method (_STA)
			{
				Return (CPST (14))
			}
		}

		Device (CPF0)
		{
			Name (_HID, "ACPI0007")
			Name (_UID, 15)
			Method (_STA)
			{
				Return (CPST (15))
			}
		}

		Device (COM0)
		{
			Name (_HID, "ARMH0011")
			Name (_UID, 0)
			Name (_DDN, "COM0")
			Name (UADR, 0xAABBCCDD)
			Name (UIRQ, 0xAABBCCDD)

			Method (_CRS, 0, Serialized)
			{
				Name (RBUF, ResourceTemplate ()
				{
					Memory32Fixed (ReadWrite, 0, 0x1000, UMEM)
					Interrupt (ResourceConsumer, Level, ActiveHigh, Exclusive,,, UINT)
					{
						0
					}
				})
				CreateDWordField (RBUF, UMEM._BAS, UBAS)
				CreateDWordField (RBUF, UINT._INT, UNUM)
				UBAS = UADR
				UNUM = UIRQ
				Return (RBUF)
			}
		}
	}
}
