# SPDX-License-Identifier: MIT
"""What only x86_64 has: its boot protocols, its ways to go wrong, its payload kernels."""

import os
import subprocess
import time
import unittest

from debugger import RDI, RIP, Debugger, free_port, symbol
from support import TOP, SystemTest, slow

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


class SeveralProcessors(SystemTest):
    """
    Starting, stopping, interprocessor interrupts and time of four virtual CPUs, on as many
    processors and on fewer.
    """

    # Of 12 interprocessor interrupts, in each mode of the APIC; 42,000 make a million in all.
    ROUNDS = int(os.environ.get("IPI_ROUNDS", "200"))

    def smp(self, cpus, more="", rounds=ROUNDS):
        return self.payloads("smp", extra=f"vcpus = 4\ncmdline = 4 {rounds} {more}\n", cpus=cpus,
                             deadline=600 + rounds)

    def check(self, cpus):
        self.check_payload(self.smp(cpus), "smp", 500 + self.ROUNDS)

    def test_on_1(self):
        self.check(1)

    @slow
    def test_on_2(self):
        self.check(2)

    @slow
    def test_on_4(self):
        self.check(4)

    @slow
    def test_spinning_through_a_pause(self):
        """With interrupts off on all but one: paused, looked at and snapshotted all the same."""
        m = self.smp(2, "wait", 10)
        m.expect("smp: all others spin", 300)
        for _ in range(3):
            self.assertNotIn("error:", m.monitor("pause smp"))
            self.assertRegex(m.monitor("list"), r"smp +paused")
            self.assertRegex(m.monitor("info smp"), r"vcpu 3")
            self.assertNotIn("error:", m.monitor("resume smp"))
        self.assertNotIn("error:", m.monitor("snapshot smp s1 --memory"))
        m.focus_guest()
        m.send(b"x")
        self.check_payload(m, "smp")

    @slow
    def test_started_where_there_is_no_code(self):
        m = self.smp(2, "bad", 10)
        m.event("vm", 120, vm="smp", state="failed")
        self.assertRegex(m.monitor("info smp"), r"triple fault")


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


class OwnFaults(SystemTest):
    """
    A fault of anew's own while a guest's registers are in place. anew has none that a test could
    ask for: a debugger makes one.
    """

    def broken(self, register, value):
        """What anew says when @register has @value at the entry of a function of its exit path."""
        port = free_port()
        name = "flood"
        conf = f"[vm {name}]\nmemory = 32M\nkernel = {name}\ntestdev = on\n"
        m = self.prepared(conf=conf, files={name: self.payload_file(name)}, gdb=port)
        m.power_on()
        debugger = Debugger(port)
        self.addCleanup(debugger.close)
        debugger.go()
        base = int(m.event("start", 120)["image"], 16)
        m.expect("flood", 60)
        debugger.stop()
        place = symbol(TOP / "build/x86_64/anew.elf", "arch_vcpu_skip")
        debugger.set_breakpoint(base + place)
        debugger.go()
        debugger.wait()
        debugger.clear_breakpoint(base + place)
        debugger.set_register(register, value)
        debugger.go()
        m.expect(r"panic: the machine is stopped", 60)
        return next(line for line in self.console().splitlines() if "panic: " in line), place

    def test_page_fault(self):
        text, place = self.broken(RDI, 1 << 46)
        self.assertRegex(text, r"page fault \(vector 14\) in anew itself: error code 0h")
        self.assertRegex(text, f"\\({place:x}h in anew.elf\\)")
        self.assertRegex(text, r"CR2 4000[0-9a-f]{8}h")
        self.assertRegex(text, r"last exit of flood: port I/O, write of 1 bytes at e9h")
        console = self.console()
        build = (TOP / "build/build-id").read_text(encoding="ascii").strip()
        self.assertIn(f"panic: this is build {build}", console)
        self.assertRegex(console, r"panic: last exits of flood, vCPU 0, the latest first: port I/O, "
                         r"write of 1 bytes at e9h(; (port I/O|host interrupt)){7}")
        self.assertIn("please report all of these lines", console)

    def test_general_protection(self):
        text, _ = self.broken(RDI, 1 << 63)
        self.assertRegex(text, r"general protection \(vector 13\) in anew itself")

    def test_wild_jump(self):
        text, _ = self.broken(RIP, 1 << 45)
        self.assertRegex(text, r"page fault \(vector 14\) .* at 200000000000h")


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
