# SPDX-License-Identifier: MIT
"""What only arm64 has: its payload kernels and ways to go wrong, on each kind of its machines."""

import os
import time
import unittest

from support import (ARCHES, GUID, MACHINES, READY, RESEED, USUAL_MACHINES, SystemTest,
                     for_machines)

EVERY_KIND = [(arch, model) for arch, model in MACHINES if arch == "arm64"]
BOOTARGS = "what anew was told  with spaces"
INITRD = b"the first line of an initrd\nand another\n"


class Payloads:
    """Small kernels of ours that check one thing each."""

    def check(self, name):
        self.check_payload(self.payloads(name), name)

    def test_basic(self):
        self.check("basic")

    def test_decode(self):
        self.check("decode")

    def test_unmapped(self):
        self.check("unmapped")

    def test_gic(self):
        m = self.payloads("gic")
        m.expect(rf"^GICv{2 if self.model == 'virt-gicv2' else 3}, \d+ interrupts$", 60)
        self.check_payload(m, "gic")

    def test_mmu_off(self):
        """What anew wrote into a guest's memory, as the guest sees it past all caches."""
        self.logs.mkdir(parents=True, exist_ok=True)
        initrd = self.logs / "first-line.txt"
        initrd.write_bytes(INITRD)
        m = self.payloads("mmu-off", files={"first-line.txt": initrd},
                          extra=f"initrd = first-line.txt\ncmdline = {BOOTARGS}, watch\n")
        m.expect(r"^memory: 32 MiB$")
        m.expect(rf"^bootargs: {BOOTARGS}, watch$")
        m.expect(rf"^initrd: {len(INITRD)} bytes, the first line of an initrd$")
        first = m.expect(rf"^id: ({GUID})$").group(1)
        m.expect(r"^payload: watching the id$")
        self.assertIn(first, m.monitor("genid mmu-off show"))
        m.monitor("snapshot mmu-off s1")
        m.monitor("restore s1 --intent rollback")
        m.event("restored", 30, intent="rollback")
        m.focus_guest()
        second = m.expect(rf"^new id: ({GUID})$").group(1)
        self.assertNotEqual(first, second)
        m.expect(r"^payload: result 0$")


class Smp:
    """PSCI, and SGIs from all to all, of which each arrival is checked. SMP_ROUNDS: how many."""

    def check(self, cpus, vcpus, rounds, **options):
        rounds = int(os.environ.get("SMP_ROUNDS", rounds))
        m = self.payloads("smp", extra=f"vcpus = {vcpus}\ncmdline = rounds={rounds}\n",
                          cpus=cpus, deadline=30 * rounds + 600, **options)
        self.check_payload(m, "smp", 30 * rounds + 500)
        self.assertEqual(m.guest_output().count(f"PASS: {rounds * vcpus ** 2} SGIs"), 2)

    def test_on_as_many(self):
        self.check(4, 4, 200)

    def test_on_fewer(self):
        self.check(2, 4, 100)


class SmpUsual(Smp):
    """What doesn't depend on the kind of interrupt controller."""

    def test_on_more(self):
        self.check(4, 2, 200)

    def test_on_one(self):
        self.check(1, 3, 50)

    def test_emulated_by_one_thread(self):
        self.check(4, 4, 100, threads="single")

    def test_spinning_through_a_pause(self):
        """All its CPUs spin with interrupts off: that keeps nobody from pausing it, or from work."""
        for cpus in (1, 2):
            m = self.payloads("smp", extra="vcpus = 4\ncmdline = spin\n", cpus=cpus,
                              deadline=600, logs=self.logs / str(cpus))
            m.expect(r"^PASS: 4 CPUs spin with interrupts off$", 60)
            for _ in range(3):
                m.monitor("pause smp")
                m.event("vm", 10, vm="smp", state="paused")
                m.monitor("resume smp")
                m.event("vm", 10, vm="smp", state="running")
            m.focus_guest()
            m.send(b"x")
            m.expect(r"payload: result 0", 60)
            m.close()


class Acpi:
    """A guest that is told of its machine by ACPI, and not by a devicetree."""

    cmdline = f"{ARCHES['arm64'].cmdline} acpi=force"
    files = ("kernel", "vmlinuz-6.12"), ("initrd", "initrd")

    def booted(self, **options):
        """A machine whose demo guest has ACPI."""
        conf = ("[vm demo]\nmemory = 256M\nkernel = kernel\ninitrd = initrd\n"
                f"cmdline = {self.cmdline}\nfirmware = acpi\n")
        return self.demo(conf=conf, files={name: self.guests / file for name, file in self.files},
                         deadline=600, **options)

    def check_acpi(self, m):
        """The guest's kernel uses the tables, and has nothing else to go by."""
        m.skip_output()
        m.guest("echo $(ls /sys/firmware/acpi/tables); ls /proc/device-tree")
        m.expect(r"^APIC DSDT FACP GTDT SPCR SSDT1 SSDT2 data dynamic$", 60)
        m.expect(r"/proc/device-tree: No such file or directory$", 60)

    def test_restore(self):
        m = self.booted()
        self.check_acpi(m)
        ids = [self.guest_id(m)]
        self.assertEqual(ids[0], self.shown_id(m))
        m.monitor("snapshot demo s1 --memory")
        for _ in range(2):
            ids.append(self.id_after_rollback(m, 60))
        self.assertEqual(len(set(ids)), 3)
        m.guest("poweroff -f")
        m.event("vm", 60, vm="demo", state="off")

    def test_a_reset_after_a_restore(self):
        """What the firmware is comes with the snapshot, whatever the VM's configuration says."""
        m = self.booted(slack=300)
        before = self.guest_id(m)
        self.assertNotIn("error:", m.monitor("snapshot demo s1", 240))
        m.kill()
        again = self.demo_of(self.logs / "disk.img")
        self.assertEqual(self.guest_id(again), before)
        again.guest("reboot -f")
        again.expect(READY, 120)
        self.check_acpi(again)
        self.assertEqual(self.guest_id(again), before)

    def demo_of(self, disk):
        """A machine with the guest of the snapshot `s1` on @disk."""
        conf = "[vm demo]\nrestore = s1\nintent = resume\nfirmware = fdt\n"
        m = self.machine(disk=disk, conf=conf, logs=self.logs / "again", deadline=600)
        m.event("restored", 120, intent="resume")
        return m


class BadGuests:
    """A guest that breaks itself breaks nothing else; the monitor answers."""

    def test_undecodable(self):
        m = self.payloads("undecodable")
        m.event("vm", 30, vm="undecodable", state="failed")
        self.assertRegex(m.monitor("info undecodable"), r"can't decode.*instruction 3dc00000")

    def test_wild_jump(self):
        """It gets one abort after the other, for ever, and its neighbour runs as ever."""
        m = self.payloads("wild-jump", "basic")
        m.expect(r"about to jump into nowhere")
        m.event("vm", 120, vm="basic", state="off")
        self.assertRegex(m.monitor("list"), r"wild-jump +running")
        m.monitor("reset wild-jump")
        m.focus_guest()
        m.expect(r"about to jump into nowhere")


for_machines(EVERY_KIND, Payloads, globals())
for_machines([kind for kind in EVERY_KIND if kind not in USUAL_MACHINES], Smp, globals())
for_machines([kind for kind in EVERY_KIND if kind in USUAL_MACHINES], SmpUsual, globals())
for_machines(EVERY_KIND, BadGuests, globals())
for_machines(EVERY_KIND, Acpi, globals())


class Machines(SystemTest):
    """Machines on which anew can't run."""

    arch = "arm64"

    def test_no_el2(self):
        m = self.prepared(machine="virt-noel2", conf="")
        m.power_on()
        for _ in range(300):
            if "needs EL2" in self.console():
                return
            time.sleep(0.2)
        self.fail("anew didn't say that EL2 is missing:\n" + self.console())


if __name__ == "__main__":
    unittest.main(verbosity=2)
