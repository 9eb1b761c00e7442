# SPDX-License-Identifier: MIT
"""
anew as a person meets it: booted by real firmware under QEMU, with kernels that nobody here wrote
and with payload kernels of ours. One boot per test.
"""

import subprocess
import sys
import time
import unittest
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(TOP / "qemu-runner"))

# pylint: disable=wrong-import-position
from anew_runner.machine import Machine

GUEST = TOP / "build/guest/x86_64"
PAYLOAD = TOP / "build/x86_64/payload"
LOGS = TOP / "build/logs"
RESEED = r"random: crng reseeded due to virtual machine fork"
GUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"


class SystemTest(unittest.TestCase):
    """What the tests share: machines with their logs in a folder of the test's name."""

    def machine(self, **options):
        """A started machine that ends with the test."""
        name = self.id().rsplit(".", 1)[-1]
        machine = Machine(logs=LOGS / name, deadline=240, **options)
        self.addCleanup(machine.close)
        machine.start()
        return machine

    def payload(self, name, extra=""):
        """A machine with the payload kernel @name in a VM of that name."""
        conf = f"[vm {name}]\nmemory = 32M\nkernel = {name}.elf\ntestdev = on\n{extra}"
        return self.machine(conf=conf, files={f"{name}.elf": PAYLOAD / f"{name}.elf"})

    def guest_id(self, machine):
        """The id as the guest itself reads it."""
        machine.guest("genid")
        return machine.expect(GUID).group(0)

    def random(self, machine):
        """16 bytes of the guest's /dev/urandom."""
        machine.guest("rnd")
        return machine.expect(r"\b[0-9a-f]{32}\b").group(0)

    def shown_id(self, machine):
        """The id as the monitor shows it."""
        machine.monitor("genid demo show")
        return machine.expect_monitor(GUID).group(0)


class Debian(SystemTest):
    """Debian's own kernels."""

    def test_restore_gives_a_new_id(self):
        m = self.machine()
        m.expect(r"anew-demo: ready", 90)
        ids = [self.guest_id(m)]
        randoms = [self.random(m)]
        self.assertEqual(ids[0], self.shown_id(m))
        m.monitor("snapshot demo s1")
        self.assertEqual(self.guest_id(m), ids[0])
        for _ in range(2):
            m.skip_output()
            m.monitor("restore s1 --intent rollback")
            m.event("restored", 30, intent="rollback")
            m.monitor("console demo")
            m.expect(RESEED, 30)
            ids.append(self.guest_id(m))
            randoms.append(self.random(m))
            self.assertEqual(ids[-1], self.shown_id(m))
        self.assertEqual(len(set(ids)), 3)
        self.assertEqual(len(set(randoms)), 3)

    def test_pause_and_reboot_keep_the_id(self):
        m = self.machine()
        m.expect(r"anew-demo: ready", 90)
        before = self.guest_id(m)
        m.monitor("pause demo")
        m.monitor("resume demo")
        self.assertEqual(self.guest_id(m), before)
        m.guest("reboot -f")
        m.expect(r"anew-demo: ready", 90)
        self.assertEqual(self.guest_id(m), before)

    def test_power_off(self):
        m = self.machine()
        m.expect(r"anew-demo: ready", 90)
        m.guest("poweroff -f")
        m.event("vm", 60, vm="demo", state="off")
        m.monitor("list")

    def test_kernel_6_1(self):
        m = self.machine(kernel=GUEST / "vmlinuz-6.1", initrd=GUEST / "initrd")
        m.expect(r"anew-demo: ready", 90)
        m.guest("uname -r")
        m.expect(r"6\.1\.")


class Payloads(SystemTest):
    """Small kernels of ours that check one thing each."""

    def check(self, name):
        m = self.payload(name)
        m.expect(r"payload: result \d+", 60)
        text = (LOGS / self.id().rsplit(".", 1)[-1] / "guest.log").read_text(errors="replace")
        self.assertNotIn("FAIL:", text)
        self.assertNotIn("ERROR:", text)
        self.assertIn("PASS:", text)
        m.event("vm", 10, vm=name, state="off")

    def test_basic(self):
        self.check("basic")

    def test_decode(self):
        self.check("decode")


class BadInput(SystemTest):
    """What is wrong is said in one clear line; the rest goes on."""

    def test_triple_fault(self):
        m = self.payload("triple-fault")
        m.event("vm", 30, vm="triple-fault", state="failed")
        m.monitor("info triple-fault")
        m.expect_monitor(r"triple fault")

    def test_wild_jump(self):
        m = self.payload("wild-jump")
        m.event("vm", 30, vm="wild-jump", state="failed")
        m.monitor("list")
        m.expect_monitor(r"wild-jump +.*failed")

    def test_bad_config_and_files(self):
        conf = ("[vm one]\nkernel = kernel\nmemori = 64M\n"
                "[vm two]\nkernel = no-such-file\n"
                "[vm three]\nkernel = notes.txt\n"
                "[vm four]\nkernel = kernel\nmemory = 900G\n"
                "[vm five]\nkernel = basic.elf\nmemory = 32M\ntestdev = on\n")
        logs = LOGS / "test_bad_config_and_files"
        m = Machine(conf=conf, logs=logs, deadline=120,
                    files={"kernel": GUEST / "vmlinuz-6.12", "basic.elf": PAYLOAD / "basic.elf",
                           "no-such-file": PAYLOAD / "basic.elf", "notes.txt": TOP / "README.md"})
        self.addCleanup(m.close)
        m.prepare()
        subprocess.run(["mdel", "-i", f"{logs}/disk.img@@1M", "::no-such-file"], check=True)
        m.start()
        m.event("vm", 60, vm="five", state="off")
        m.monitor("log")
        text = (logs / "console.raw").read_text(errors="replace")
        for wanted in (r"anew\.conf:3:.*memori", r"no-such-file", r"kernel 'notes\.txt'",
                       r"four: memory = 921600M"):
            self.assertRegex(text, wanted)

    def test_no_svm(self):
        m = Machine(machine="q35-nosvm", logs=LOGS / "test_no_svm", deadline=120)
        self.addCleanup(m.close)
        m.power_on()
        log = LOGS / "test_no_svm" / "console.raw"
        for _ in range(300):
            if "no AMD SVM" in log.read_text(errors="replace"):
                return
            time.sleep(0.2)
        self.fail("anew didn't say that SVM is missing:\n" + log.read_text(errors="replace"))


if __name__ == "__main__":
    unittest.main(verbosity=2)
