# SPDX-License-Identifier: MIT
"""
VMClock, with a kernel of Debian's that has the driver: a program in the guest maps its page, polls,
and sees of each restore what the table of intents says.
"""

import time
import unittest

from support import ARCHES, RESEED, USUAL_MACHINES, SystemTest, for_machines

LINE = (r"vmclock (?P<when>is|changed): magic 4b4c4356 size (?P<size>\d+) counter 255 status 0 "
        r"flags 300 seq (?P<seq>\d+) marker (?P<marker>[0-9a-f]{16}) "
        r"generation (?P<generation>[0-9a-f]{16})")
# intent: what is new: (marker, generation and id)
INTENTS = {"resume": (False, False), "migrate": (True, False), "rollback": (True, True),
           "clone": (True, True), "import": (True, True), "failover": (True, True)}
# How long a guest gets to say that something has changed when nothing should have.
SILENCE = 2


class Guest:
    """What the tests of this file share: a guest with a program that sees VMClock's page."""

    def booted(self, **options):
        """A machine whose guest has VMClock's driver."""
        options = options or {"kernel": self.guests / "vmlinuz-7",
                              "initrd": self.guests / "initrd-7"}
        m = self.demo(deadline=900, **options)
        if self.arch == "x86_64":
            m.guest("insmod /ptp_vmclock.ko.xz; echo status $?")
            m.expect(r"^status 0$", 60)
        m.guest("dmesg | grep vmclock")
        m.expect(r"vmclock0: registered miscdev$", 60)
        return m

    def now(self, m, name=None):
        """What the page of the guest, or of the VM @name, says."""
        if name:
            m.monitor(f"console {name}")
        m.skip_output()
        m.guest("vmclock")
        return m.expect(LINE.replace("is|changed", "is"), 60)

    def changed(self, m):
        """What the program that polls says."""
        m.focus_guest()
        return m.expect(LINE.replace("is|changed", "changed"), 60)

    def reseeds(self, m):
        """How often the guest's kernel has reseeded for a new id since it was booted."""
        m.guest("echo n=$(dmesg | grep -c 'virtual machine fork')")
        return int(m.expect(r"^n=(\d+)$", 60).group(1))

    def check_shown(self, m, seen):
        """The monitor shows what the guest sees."""
        self.assertIn(f"disruption marker 0x{seen['marker']}, generation counter "
                      f"0x{seen['generation']}, ", m.monitor("genid demo show"))


class VMClock(Guest):
    """What a program in a guest sees."""

    def test_intents(self):
        m = self.booted()
        m.guest("vmclock watch &")
        first = m.expect(LINE.replace("is|changed", "is"), 60)
        self.assertEqual(int(first["size"]), 4096 if self.arch == "x86_64" else 65536)
        self.check_shown(m, first)
        m.monitor("snapshot demo s1 --memory")
        markers, generations = {first["marker"]}, {first["generation"]}
        for intent, (new_marker, new) in INTENTS.items():
            m.skip_output()
            self.assertNotIn("error:", m.monitor(f"restore s1 --intent {intent}", 120))
            if new_marker:
                m.event("vmclock", vm="demo", reason="restore")
                seen = self.changed(m)
            else:
                m.focus_guest()
                time.sleep(SILENCE)
                self.assertNotIn("vmclock changed", m.guest_output())
                seen = self.now(m)
            m.event("restored", 60, intent=intent)
            self.assertEqual(int(seen["seq"]) - int(first["seq"]), 2 if new_marker else 0)
            # Of what is new, nothing was there before.
            self.assertEqual(seen["marker"] not in markers, new_marker)
            self.assertEqual(seen["generation"] not in generations, new)
            self.check_shown(m, seen)
            self.assertEqual(self.reseeds(m), int(new))
            self.assertEqual(self.now(m).group(0).split(":")[1], seen.group(0).split(":")[1])
            markers.add(seen["marker"])
            generations.add(seen["generation"])
        self.assertEqual((len(markers), len(generations)), (6, 5))

    def test_the_source_that_runs_on(self):
        m = self.booted()
        m.guest("vmclock watch &")
        first = m.expect(LINE.replace("is|changed", "is"), 60)
        m.monitor("snapshot demo s1 --memory")
        self.assertEqual(self.now(m)["generation"], first["generation"])
        m.monitor("pause demo")
        m.monitor("resume demo")
        self.assertEqual(self.now(m)["marker"], first["marker"])
        m.skip_output()
        m.monitor("genid demo rotate")
        m.event("vmclock", vm="demo", reason="rotate")
        seen = self.changed(m)
        self.assertEqual(seen["marker"], first["marker"])
        self.assertNotEqual(seen["generation"], first["generation"])
        self.check_shown(m, seen)
        m.focus_guest()
        m.guest("dmesg | tail -3")
        m.expect(RESEED, 60)
        # A reboot of the guest keeps both.
        m.guest("reboot -f")
        m.expect(r"anew-demo: ready", 120)
        self.check_shown(m, seen)
        if self.arch == "x86_64":
            m.guest("insmod /ptp_vmclock.ko.xz")
        self.assertEqual(self.now(m).group(0).split(":")[1], seen.group(0).split(":")[1])

    def test_clones_differ(self):
        m = self.booted()
        first = self.now(m)
        m.monitor("snapshot demo s1 --memory")
        self.assertNotIn("error:", m.monitor("clone s1 3", 120))
        seen = [self.now(m, name) for name in ("demo", "demo-1", "demo-2", "demo-3")]
        self.assertEqual(seen[0]["generation"], first["generation"])
        for what in ("marker", "generation"):
            self.assertEqual(len({one[what] for one in seen}), 4)


class VMClockByAcpi(Guest, SystemTest):
    """The same where the driver finds it by ACPI, on the architecture that has both."""

    arch = "arm64"

    def test_rollback(self):
        conf = ("[vm demo]\nmemory = 256M\nkernel = kernel\ninitrd = initrd\nfirmware = acpi\n"
                f"cmdline = {ARCHES['arm64'].cmdline}\n")
        m = self.booted(conf=conf, files={"kernel": self.guests / "vmlinuz-7",
                                          "initrd": self.guests / "initrd-7"})
        m.guest("vmclock watch &")
        first = m.expect(LINE.replace("is|changed", "is"), 60)
        self.assertEqual(int(first["size"]), 65536)
        m.monitor("snapshot demo s1 --memory")
        m.skip_output()
        m.monitor("restore s1 --intent rollback", 120)
        seen = self.changed(m)
        self.assertNotEqual(seen["generation"], first["generation"])
        self.check_shown(m, seen)
        self.assertEqual(self.reseeds(m), 1)


for_machines(USUAL_MACHINES, VMClock, globals())


if __name__ == "__main__":
    unittest.main(verbosity=2)
