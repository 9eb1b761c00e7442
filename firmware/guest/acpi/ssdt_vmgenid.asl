/* SPDX-License-Identifier: MIT */
/*
 * The VM generation ID, and the generic event device that tells of a new one. VGLO, VGHI and GIRQ
 * are patched by name (acpi_patch_u32); what they hold here only makes their encoding 32 bits wide.
 */
DefinitionBlock ("", "SSDT", 2, "ANEW", "ANEWGEN", 1)
{
	Scope (\_SB)
	{
		Device (VGEN)
		{
			Name (_HID, "ANEW0001")
			Name (_CID, Package (3) {
				"VM_Gen_Counter", "VMGENCTR", "Hyper_V_Gen_Counter_V1"
			})
			Name (_UID, 0)
			Name (_DDN, "VM_Gen_Counter")

			/* Guest-physical address of the 16 bytes, low and high half. */
			Name (VGLO, 0xAABBCCDD)
			Name (VGHI, 0xAABBCCDD)

			/* Drivers want two integers, which names inside a Package () are not. */
			Method (ADDR, 0, Serialized)
			{
				Local0 = Package (2) { 0, 0 }
				Local0 [0] = VGLO
				Local0 [1] = VGHI
				Return (Local0)
			}
		}

		/* ACPI 6.5, 5.6.9: generic event device. */
		Device (GED)
		{
			Name (_HID, "ACPI0013")
			Name (_UID, 0)
			Name (GIRQ, 0xAABBCCDD)

			Method (_CRS, 0, Serialized)
			{
				Name (RBUF, ResourceTemplate ()
				{
					Interrupt (ResourceConsumer, Edge, ActiveHigh, Exclusive,,, GINT)
					{
						0
					}
				})
				CreateDWordField (RBUF, GINT._INT, GNUM)
				GNUM = GIRQ
				Return (RBUF)
			}

			Method (_EVT, 1, Serialized)
			{
				If (Arg0 == GIRQ)
				{
					Notify (\_SB.VGEN, 0x80)
				}
			}
		}
	}
}
