# SPDX-License-Identifier: MIT
"""
anew as a person meets it, the same on every architecture: booted by real firmware under QEMU, with
Debian's own kernel and with payload kernels of ours.
"""

import re
import subprocess
import time
import unittest

from support import MACHINES, READY, RESEED, TOP, USUAL_MACHINES, for_machines

SOME_ID = "12345678-9abc-def0-1234-56789abcdef0"


def stat(text, name):
    """The number that the monitor's `stats` has for @name."""
    return int(re.search(rf"^{re.escape(name)} +(\d+)\s*$", text, re.M).group(1))


class Identity:
    """A guest has a new id exactly when it has to, and knows it."""

    def test_restore_gives_a_new_id(self):
        m = self.demo()
        ids = [self.guest_id(m)]
        randoms = [self.random(m)]
        self.assertEqual(ids[0], self.shown_id(m))
        m.monitor("snapshot demo s1")
        self.assertEqual(self.guest_id(m), ids[0])
        for _ in range(2):
            ids.append(self.id_after_rollback(m, 30))
            randoms.append(self.random(m))
        self.assertEqual(len(set(ids)), 3)
        self.assertEqual(len(set(randoms)), 3)

    def test_pause_and_reboot_keep_the_id(self):
        m = self.demo()
        before = self.guest_id(m)
        m.monitor("pause demo")
        m.monitor("resume demo")
        self.assertEqual(self.guest_id(m), before)
        m.guest("reboot -f")
        m.expect(READY, 120)
        self.assertEqual(self.guest_id(m), before)
        self.assertNotRegex(m.guest_output(), RESEED)

    def test_rotate_and_set(self):
        m = self.demo()
        seen = [self.guest_id(m)]
        for command in ("rotate", f"set {SOME_ID}"):
            m.skip_output()
            m.monitor(f"genid demo {command}")
            m.event("genid", vm="demo", reason=command.split()[0])
            m.focus_guest()
            m.expect(RESEED, 30)
            seen.append(self.guest_id(m))
            self.assertEqual(seen[-1], self.shown_id(m))
        self.assertNotEqual(seen[1], seen[0])
        self.assertEqual(seen[2], SOME_ID)

    def test_restore_in_a_flood_of_output(self):
        m = self.demo()
        ids = [self.guest_id(m)]
        m.guest("yes interrupts are on")
        m.expect(r"(interrupts are on\n){100}")
        m.monitor("snapshot demo s1")
        for _ in range(2):
            m.monitor("restore s1 --intent rollback")
            m.event("restored", 30)
            m.skip_output()
            m.focus_guest()
            m.expect(r"(interrupts are on\n){100}")
            m.send(b"\x03")
            m.expect(r"demo# ")
            # Its line on the console may have been lost in the flood.
            m.guest("dmesg | grep crng")
            m.expect(RESEED)
            ids.append(self.guest_id(m))
            self.assertEqual(ids[-1], self.shown_id(m))
        self.assertEqual(len(set(ids)), 3)


class Life:
    """VMs begin, idle and end."""

    def test_power_off(self):
        m = self.demo()
        m.guest("poweroff -f")
        m.event("vm", 60, vm="demo", state="off")
        self.assertRegex(m.monitor("list"), r"demo +off")

    def test_an_idle_guest_lets_the_processor_sleep(self):
        """
        By anew's own account of its time. However busy this computer is with other things, a
        machine that does nothing sleeps for nearly all of the time, and one that spins for none.
        """
        m = self.demo()
        time.sleep(2)
        before = m.monitor("stats demo")
        time.sleep(4)
        after = m.monitor("stats demo")
        clock, asleep = (stat(after, name) - stat(before, name)
                         for name in ("clock, ms", "asleep, ms"))
        self.assertGreater(clock, 3000)
        self.assertGreater(asleep / clock, 0.5)

    def test_a_flood_of_output_starves_nobody(self):
        m = self.payloads("flood", "basic")
        m.event("focus", vm="flood")
        m.event("vm", 120, vm="basic", state="off")
        self.assertRegex(m.monitor("list"), r"flood +running")
        m.skip_output()
        m.focus_guest()
        m.expect(r"flood: \d+, and nothing")


class BadInput:
    """What is wrong is said in one clear line; the rest goes on."""

    def test_bad_config_and_files(self):
        big = self.logs / "big"
        conf = ("[vm one]\nkernel = kernel\nmemori = 64M\n"
                "[vm two]\nkernel = no-such-file\n"
                "[vm three]\nkernel = notes.txt\n"
                "[vm four]\nkernel = kernel\nmemory = 900G\n"
                "[vm five]\nkernel = kernel\nmemory = 4M\n"
                "[vm six]\nkernel = basic\nmemory = 8M\ninitrd = big\n"
                "[vm last]\nkernel = basic\nmemory = 32M\ntestdev = on\n")
        self.logs.mkdir(parents=True, exist_ok=True)
        big.write_bytes(bytes(8 << 20))
        m = self.prepared(conf=conf, files={
            "kernel": self.guests / "vmlinuz-6.12", "basic": self.payload_file("basic"),
            "no-such-file": big, "notes.txt": TOP / "README.md", "big": big})
        m.prepare()
        subprocess.run(["mdel", "-i", f"{self.logs}/disk.img@@1M", "::no-such-file"], check=True)
        m.start()
        m.event("vm", 60, vm="last", state="off")
        m.monitor("log")
        for wanted in (r"anew\.conf:3:.*memori", r"no-such-file", r"kernel 'notes\.txt'",
                       r"four: memory = 921600M", r"five: not started",
                       r"kernel 'kernel': does not fit", r"initrd 'big': does not fit"):
            self.assertRegex(self.console(), wanted)


for_machines(MACHINES, Identity, globals())
for_machines(USUAL_MACHINES, Life, globals())
for_machines(USUAL_MACHINES, BadInput, globals())


if __name__ == "__main__":
    unittest.main(verbosity=2)
