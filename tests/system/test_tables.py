# SPDX-License-Identifier: MIT
"""
What a guest is told of its machine, read out of the guest and judged by others: ACPI tables by iasl,
the devicetree by dtc and, where it is there, by dt-validate.
"""

import os
import re
import shutil
import subprocess
import unittest
from pathlib import Path

from support import ARCHES, SystemTest

# Of Linux's source, which is too much to fetch for one test: set BINDINGS to where it is.
BINDINGS = Path(os.environ.get("BINDINGS", "/usr/src/linux/Documentation/devicetree/bindings"))
# What describes the nodes that there are; not every Linux has all of it.
SCHEMAS = ("rng/microsoft,vmgenid", "ptp/amazon,vmclock", "interrupt-controller/arm,gic-v3",
           "timer/arm,arch_timer", "serial/pl011", "serial/serial", "arm/cpus", "arm/psci",
           "arm/primecell", "clock/fixed-clock")
# dt-schema took addresses for 32 bits long up to its version 2022.08, which Debian 12 has.
OLD_COMPLAINT = r"chosen: linux,initrd-(?:start|end):0: .* is too long"


class Tables(SystemTest):
    """What the tests of this file share."""

    def run_tool(self, *command):
        """Runs @command in the folder of the logs; its output, once it has ended well."""
        done = subprocess.run(command, cwd=self.logs, text=True, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, check=False)
        self.assertEqual(done.returncode, 0, f"{command}:\n{done.stdout}")
        return done.stdout

    def read_file(self, m, path):
        """The bytes of a file in the guest."""
        m.skip_output()
        m.guest(f"echo; xxd -p {path}; echo end of it")
        text = m.expect(r"(?s)\n((?:[0-9a-f]+\n)+)end of it\n", 120).group(1)
        return bytes.fromhex(text)

    def read_tables(self, m):
        """The guest's ACPI tables, by their file names, into the folder of the logs."""
        m.guest("cd /sys/firmware/acpi/tables; echo have $(ls -p | grep -v /); cd")
        names = m.expect(r"\nhave ([A-Z0-9 ]+)\n", 60).group(1).split()
        for name in names:
            data = self.read_file(m, f"/sys/firmware/acpi/tables/{name}")
            self.assertEqual(int.from_bytes(data[4:8], "little"), len(data))
            (self.logs / f"{name}.dat").write_bytes(data)
        return names

    def check_acpi(self, m, wanted):
        """Each table comes apart and together again without a complaint."""
        names = self.read_tables(m)
        self.assertEqual(sorted(names), sorted(wanted))
        for name in names:
            (self.logs / f"{name}.dsl").unlink(missing_ok=True)
            text = self.run_tool("iasl", "-d", f"{name}.dat")
            self.assertNotRegex(text, r"(?i)error|warning|invalid")
            text = self.run_tool("iasl", "-we", "-p", f"{name}-again", f"{name}.dsl")
            self.assertRegex(text, r"0 Errors, 0 Warnings|Compilation successful\. 0 Errors")
            again = (self.logs / f"{name}-again.aml").read_bytes()
            data = (self.logs / f"{name}.dat").read_bytes()
            # The header has iasl's own name now and so another checksum. Of what is code, numbers
            # that were patched have got shorter.
            if not name.startswith(("DSDT", "SSDT")):
                self.assertEqual(again[36:], data[36:], name)


class TablesX86(Tables):
    """x86_64 has ACPI."""

    def test_acpi(self):
        self.check_acpi(self.demo(), ("APIC", "DSDT", "FACP", "SSDT1", "SSDT2"))


class TablesArm64(Tables):
    """arm64 has a devicetree or ACPI."""

    arch = "arm64"

    def check_acpi_on(self, model):
        """The tables of a guest on the machine @model, which has one kind of GIC."""
        conf = ("[vm demo]\nmemory = 256M\nkernel = kernel\ninitrd = initrd\n"
                f"cmdline = {ARCHES['arm64'].cmdline} acpi=force\nfirmware = acpi\n")
        files = {"kernel": self.guests / "vmlinuz-6.12", "initrd": self.guests / "initrd"}
        self.check_acpi(self.demo(machine=model, conf=conf, files=files),
                        ("APIC", "DSDT", "FACP", "GTDT", "SPCR", "SSDT1", "SSDT2"))

    def test_acpi_gicv3(self):
        self.check_acpi_on("virt-gicv3")

    def test_acpi_gicv2(self):
        self.check_acpi_on("virt-gicv2")

    def check_fdt_on(self, model):
        """The devicetree of a guest on the machine @model, which the logs' folder has then."""
        m = self.demo(machine=model)
        (self.logs / "guest.dtb").write_bytes(self.read_file(m, "/sys/firmware/fdt"))
        # Its warnings are all that are on by default, and go to the standard error.
        self.assertEqual(self.run_tool("dtc", "-I", "dtb", "-O", "dtb", "-o", "again.dtb",
                                       "guest.dtb"), "")
        text = self.run_tool("dtc", "-I", "dtb", "-O", "dts", "guest.dtb")
        for wanted in ('"microsoft,vmgenid"', '"amazon,vmclock"'):
            self.assertIn(wanted, text)

    def test_fdt_gicv2(self):
        self.check_fdt_on("virt-gicv2")

    def test_fdt_gicv3(self):
        self.check_fdt_on("virt-gicv3")

    def test_fdt_by_the_bindings(self):
        if not shutil.which("dt-validate"):
            self.skipTest("there is no dt-validate here (Debian's package dt-schema)")
        if not (BINDINGS / f"{SCHEMAS[0]}.yaml").exists():
            self.skipTest(f"no bindings are in {BINDINGS} (of Debian's packages linux-source-*)")
        self.check_fdt_on("virt-gicv3")
        schemas = [BINDINGS / f"{name}.yaml" for name in SCHEMAS]
        self.run_tool("dt-mk-schema", "-j", "-o", "schema.json",
                      *(str(schema) for schema in schemas if schema.exists()))
        text = self.run_tool("dt-validate", "-s", "schema.json", "guest.dtb")
        complaints = [line for line in text.splitlines() if "guest.dtb: " in line]
        self.assertEqual([line for line in complaints if not re.search(OLD_COMPLAINT, line)], [])


if __name__ == "__main__":
    unittest.main(verbosity=2)
