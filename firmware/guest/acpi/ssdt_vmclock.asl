/* SPDX-License-Identifier: MIT */
/*
 * VMClock, and the generic event device that tells of a change in its page. VCLO, VCHI, VCSZ and
 * CIRQ are patched by name (acpi_patch_u32); what they hold here only makes their encoding 32 bits
 * wide.
 */
DefinitionBlock ("", "SSDT", 2, "ANEW", "ANEWCLK", 1)
{
	Scope (\_SB)
	{
		Device (VCLK)
		{
			Name (_HID, "AMZNC10C")
			Name (_CID, "VMCLOCK")
			Name (_UID, 0)
			Name (_DDN, "VMCLOCK")

			/* Guest-physical address of the page, low and high half, and its length. */
			Name (VCLO, 0xAABBCCDD)
			Name (VCHI, 0xAABBCCDD)
			Name (VCSZ, 0xAABBCCDD)

			Method (_CRS, 0, Serialized)
			{
				Name (RBUF, ResourceTemplate ()
				{
					QWordMemory (ResourceConsumer, PosDecode, MinFixed, MaxFixed,
						Cacheable, ReadOnly, 0, 0, 0, 0, 1,,, PAGE)
				})
				CreateQWordField (RBUF, PAGE._MIN, PMIN)
				CreateQWordField (RBUF, PAGE._MAX, PMAX)
				CreateQWordField (RBUF, PAGE._LEN, PLEN)
				PMIN = (VCHI << 32) | VCLO
				PLEN = VCSZ
				PMAX = PMIN + PLEN - 1
				Return (RBUF)
			}
		}

		/* ACPI 6.5, 5.6.9: generic event device. */
		Device (GEDC)
		{
			Name (_HID, "ACPI0013")
			Name (_UID, 1)
			Name (CIRQ, 0xAABBCCDD)

			Method (_CRS, 0, Serialized)
			{
				Name (RBUF, ResourceTemplate ()
				{
					Interrupt (ResourceConsumer, Edge, ActiveHigh, Exclusive,,, CINT)
					{
						0
					}
				})
				CreateDWordField (RBUF, CINT._INT, CNUM)
				CNUM = CIRQ
				Return (RBUF)
			}

			Method (_EVT, 1, Serialized)
			{
				If (Arg0 == CIRQ)
				{
					Notify (\_SB.VCLK, 0x80)
				}
			}
		}
	}
}
