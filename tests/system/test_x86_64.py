# SPDX-License-Identifier: MIT
"""What only x86_64 has: its boot protocols, its ways to go wrong, its payload kernels."""

import subprocess
import time
import unittest

from support import SystemTest

MODULE = "what a module is like\n"


class Debian(SystemTest):
    """Debian's own kernels."""

    def test_kernel_6_1(self):
        m = self.demo(kernel=self.guests / "vmlinuz-6.1", initrd=self.guests / "initrd")
        m.guest("uname -r")
        m.expect(r"6\.1\.")


class Payloads(SystemTest):
    """Small kernels of ours that check one thing each."""

    def check(self, name):
        self.check_payload(self.payloads(name), name)

    def test_basic(self):
        self.check("basic")

    def test_decode(self):
        self.check("decode")

    def test_nmi(self):
        self.check("nmi")

    def test_strings(self):
        self.check("strings")

    def test_unmapped(self):
        self.check("unmapped")

    def test_multiboot(self):
        """A kernel that can start by multiboot 1 alone, in a 32-bit ELF file as is usual there."""
        self.logs.mkdir(parents=True, exist_ok=True)
        kernel, module = self.logs / "multiboot", self.logs / "module.txt"
        subprocess.run(["objcopy", "-O", "elf32-i386", "-R", ".notes",
                        self.payload_file("multiboot"), kernel], check=True)
        module.write_text(MODULE)
        m = self.payloads("multiboot", extra="initrd = module.txt\ncmdline = one two=three\n",
                          files={"multiboot": kernel, "module.txt": module})
        self.check_payload(m, "multiboot")


class BadGuests(SystemTest):
    """A guest that breaks itself fails in words; the monitor answers."""

    def test_triple_fault(self):
        m = self.payloads("triple-fault")
        m.event("vm", 30, vm="triple-fault", state="failed")
        self.assertRegex(m.monitor("info triple-fault"), r"triple fault")

    def test_wild_jump(self):
        m = self.payloads("wild-jump")
        m.event("vm", 30, vm="wild-jump", state="failed")
        self.assertRegex(m.monitor("list"), r"wild-jump +failed")


class Machines(SystemTest):
    """Machines on which anew can't run."""

    def test_no_svm(self):
        m = self.prepared(machine="q35-nosvm")
        m.power_on()
        for _ in range(300):
            if "no AMD SVM" in self.console():
                return
            time.sleep(0.2)
        self.fail("anew didn't say that SVM is missing:\n" + self.console())


if __name__ == "__main__":
    unittest.main(verbosity=2)
