# SPDX-License-Identifier: MIT
"""
Snapshots that outlive the power, clones beside their source, and an intent for every restore: with
Debian's own kernel, and asked inside the guest.
"""

import re
import shutil
import subprocess
import time
import unittest

from anew_runner import esp
from support import ARCHES, GUID, MACHINES, READY, RESEED, USUAL_MACHINES, for_machines, slow

DRAW = "head -c 1024 /dev/urandom | sha256sum"
SHA = r"\b[0-9a-f]{64}\b"
# A process that has its source of randomness open before a snapshot, and reads it when asked to.
OLD_PROCESS = "mkfifo /f; dd if=/dev/urandom of=/f bs=1024 count=1 2>/dev/null &"
ASK_OLD_PROCESS = "sha256sum </f"

NEW_ID = ("rollback", "clone", "import", "failover")
SAME_ID = ("resume", "migrate")


class Snapshots:
    """What the tests of this file share."""

    def keep(self, m, name, more=""):
        """The VM `demo` is kept as the snapshot @name."""
        text = m.monitor(f"snapshot demo {name}{more}", 240)
        self.assertNotIn("error:", text)

    def restored(self, m, snapshot, intent, more=""):
        """The VM is put back; returns when it has been entered."""
        m.skip_output()
        text = m.monitor(f"restore {snapshot} --intent {intent}{more}", 120)
        self.assertNotIn("error:", text)
        m.event("restored", 60, intent=intent, snapshot=snapshot)

    def reseeds(self, m):
        """How often the guest's kernel has reseeded for a new id since it was booted."""
        m.guest("echo n=$(dmesg | grep -c 'virtual machine fork')")
        return int(m.expect(r"^n=(\d+)$").group(1))

    def said(self, m, command, pattern, name=None, timeout=30):
        """What the guest, or the VM @name, answers to @command."""
        if name:
            m.monitor(f"console {name}")
        m.skip_output()
        m.guest(command)
        return m.expect(pattern, timeout).group(0)

    def power_cycle(self, m, conf=None):
        """QEMU ends at once, and another one starts on the same disk."""
        m.kill()
        if conf:
            path = self.logs / "anew.conf"
            path.write_text(conf + "[anew]\nevents = console\n", encoding="utf-8")
            subprocess.run(["mcopy", "-o", "-i", f"{self.logs}/disk.img@@1M", path, "::anew.conf"],
                           check=True)
        m.start()


class Intents(Snapshots):
    """One test for each row of the table of intents."""

    def check(self, intent, new):
        """Restores with @intent twice: each time there is a new id and one reseed, or neither."""
        m = self.demo()
        ids = [self.guest_id(m)]
        self.keep(m, "s1", " --memory")
        for _ in range(2):
            self.restored(m, "s1", intent)
            if new:
                m.focus_guest()
                m.expect(RESEED, 30)
            ids.append(self.guest_id(m))
            self.assertEqual(self.reseeds(m), int(new))
        self.assertEqual(len(set(ids)), 3 if new else 1)

    def test_resume(self):
        self.check("resume", False)

    def test_migrate(self):
        self.check("migrate", False)

    def test_rollback(self):
        self.check("rollback", True)

    def test_clone(self):
        self.check("clone", True)

    def test_import(self):
        self.check("import", True)

    def test_failover(self):
        self.check("failover", True)

    def test_the_source_that_runs_on(self):
        m = self.demo()
        before = self.guest_id(m)
        self.keep(m, "s1", " --memory")
        self.assertEqual(self.guest_id(m), before)
        self.assertEqual(self.reseeds(m), 0)
        m.monitor("genid demo rotate")
        m.focus_guest()
        m.expect(RESEED, 30)
        self.assertNotEqual(self.guest_id(m), before)
        self.assertEqual(self.reseeds(m), 1)

    def test_without_an_intent(self):
        m = self.demo()
        self.keep(m, "s1", " --memory")
        text = m.monitor("restore s1")
        self.assertIn("error: a restore needs an intent", text)
        for intent in NEW_ID + SAME_ID:
            self.assertRegex(text, rf"(?m)^ +{intent} +{'new' if intent in NEW_ID else 'same'} id")
        self.assertEqual(self.reseeds(m), 0)


class PowerCycle(Snapshots):
    """A snapshot is there after the power was off, and is what it was."""

    def test_power_cycle(self):
        m = self.demo(deadline=600)
        first = self.guest_id(m)
        m.guest("i=0; (while sleep 1; do i=$((i + 1)); echo alive $i; done) & echo 'kept' >/mark")
        m.expect(r"alive 2")
        self.keep(m, "s1")
        m.focus_guest()
        m.expect(r"alive 4")
        self.power_cycle(m)
        m.expect(READY, 120)
        self.assertRegex(m.monitor("snapshots"), r"(?m)^s1 +demo +\S+ +20\d\d-.* volume\r?$")
        self.assertIn("is whole", m.monitor("check s1", 120))

        # In the place of the VM that was booted; its processes and its time go on.
        self.restored(m, "s1", "resume")
        m.focus_guest()
        m.expect(r"alive 3")
        self.assertEqual(self.guest_id(m), first)
        self.assertEqual(self.said(m, "cat /mark", r"^kept$"), "kept")
        self.assertEqual(self.reseeds(m), 0)

        # And again, while its memory is still read.
        self.power_cycle(m)
        m.expect(READY, 120)
        self.restored(m, "s1", "rollback", " --lazy")
        m.focus_guest()
        m.expect(RESEED, 30)
        self.assertNotEqual(self.guest_id(m), first)
        m.expect(r"alive 5")
        self.assertEqual(self.said(m, "cat /mark", r"^kept$"), "kept")


class OnTheVolume(Snapshots):
    """What else may happen to the files of a snapshot."""

    def test_by_configuration_on_another_disk(self):
        m = self.demo(slack=300, deadline=600)
        first = self.guest_id(m)
        self.keep(m, "s1")
        self.keep(m, "s2")
        m.kill()
        # Another disk with another configuration, to which the files are copied.
        folder = self.logs / "copied"
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run(["mcopy", "-s", "-i", f"{self.logs}/disk.img@@1M", "::snapshots", folder],
                       check=True)
        conf = ("[vm demo]\nrestore = s2\nintent = failover\n"
                "[vm other]\nrestore = s1\nintent = resume\npaused = on\n"
                "[vm none]\nrestore = s3\nintent = resume\n")
        other = self.machine(conf=conf, logs=self.logs / "other", files={
            f"snapshots/{path.name}": path for path in folder.iterdir()})
        other.event("restored", 120, vm="demo", snapshot="s2")
        other.focus_guest()
        other.expect(RESEED, 30)
        self.assertNotEqual(self.guest_id(other), first)
        self.assertRegex(other.monitor("list"), r"other +paused")
        self.assertIn("there is no snapshot s3", other.monitor("log"))
        self.assertRegex(other.monitor("snapshots"), r"(?m)^s2 .* s1 +volume")
        other.monitor("resume other")
        other.event("restored", 60, vm="other", intent="resume")
        self.assertEqual(self.said(other, "genid", GUID, "other"), first)

    def test_power_fails_while_it_is_written(self):
        m = self.demo(slack=600, deadline=600)
        m.guest("head -c 60000000 /dev/urandom >/big; echo one >/mark; echo is ${#HOME}")
        m.expect(r"^is \d", 240)
        self.keep(m, "s1")
        marks = {"one"}
        for number in range(3):
            mark = f"again-{number}"
            self.said(m, f"echo {mark} >/mark; cat /mark", rf"^{mark}$")
            m.focus_monitor()
            m.send(b"snapshot demo s1 --replace\r")
            time.sleep(0.15 + 0.4 * number)
            self.power_cycle(m)
            m.expect(READY, 120)
            self.assertIn("is whole", m.monitor("check s1", 120))
            self.restored(m, "s1", "rollback")
            found = self.said(m, "cat /mark", r"^(one|again-\d)$")
            # The earlier one, or the one that was being written.
            self.assertIn(found, marks | {mark})
            marks = {found}
        self.keep(m, "s1", " --replace")

    @slow
    def test_several_files(self):
        conf = esp.conf_for("kernel", "initrd", ARCHES[self.arch].cmdline, 256)
        m = self.demo(conf=conf + "[anew]\npart = 16M\n", slack=300, deadline=900,
                      files={"kernel": self.guests / "vmlinuz-6.12",
                             "initrd": self.guests / "initrd"})
        m.guest("head -c 20000000 /dev/urandom >/big; sha256sum /big")
        big = m.expect(SHA, 240).group(0)
        self.keep(m, "s1")
        for intent, more in (("resume", ""), ("rollback", " --lazy")):
            # Files of an unlike size are read as they are.
            self.power_cycle(m, conf)
            m.expect(READY, 120)
            self.assertIn("is whole", m.monitor("check s1", 120))
            self.restored(m, "s1", intent, more)
            m.skip_output()
            m.guest("sha256sum /big")
            self.assertEqual(m.expect(SHA, 240).group(0), big)
        m.kill()
        listed = subprocess.run(["mdir", "-b", "-i", f"{self.logs}/disk.img@@1M", "::snapshots"],
                                check=True, stdout=subprocess.PIPE, text=True).stdout.split()
        names = sorted(path.split("/")[-1] for path in listed)
        # The guest's own 20 MB, and more.
        self.assertGreaterEqual(len(names), 3)
        self.assertEqual(names, [f"s1~0.p{number:03}" for number in range(1, len(names))] +
                         ["s1~0.snap"])

    def test_damaged_files(self):
        m = self.demo(slack=300, deadline=600)
        first = self.guest_id(m)
        self.keep(m, "s1")
        self.keep(m, "s2")
        m.kill()
        image = f"{self.logs}/disk.img@@1M"
        for name in ("s1", "s2"):
            path = self.logs / name
            subprocess.run(["mcopy", "-n", "-i", image, f"::snapshots/{name}~0.snap", path],
                           check=True)
            data = bytearray(path.read_bytes())
            if name == "s1":
                data[len(data) // 2] ^= 0x10
            else:
                del data[len(data) // 2:]
            path.write_bytes(data)
            subprocess.run(["mcopy", "-o", "-i", image, path, f"::snapshots/{name}~0.snap"],
                           check=True)
        m.start()
        m.expect(READY, 120)
        own = self.guest_id(m)
        self.assertRegex(m.monitor("snapshots"), r"(?m)^s2 .*unusable: ")
        for name, wanted in (("s1", "is damaged"), ("s2", "can't be used")):
            text = m.monitor(f"restore {name} --intent resume", 120)
            self.assertRegex(text, rf"error: snapshot {name} .*{wanted}")
        self.assertNotEqual(own, first)
        self.assertEqual(self.guest_id(m), own)


class Clones(Snapshots):
    """New VMs over one frozen image, beside their source."""

    def test_eight_clones(self):
        count = 8
        m = self.demo(memory=512)
        source = self.guest_id(m)
        self.said(m, f"{OLD_PROCESS} sleep 1; echo waits-$((1 + 1))", r"^waits-2$")
        self.keep(m, "s1", " --memory")
        text = m.monitor(f"clone s1 {count}", 120)
        self.assertEqual(text.count("is a clone of demo"), count)
        names = [f"demo-{number}" for number in range(1, count + 1)]
        entered = {m.event("restored", 60, intent="clone", new_id=True)["vm"] for _ in names}
        self.assertEqual(entered, set(names))
        ids, draws = [source], []
        for name in names:
            ids.append(self.said(m, "genid", GUID, name))
            draws.append(self.said(m, DRAW, SHA))
            draws.append(self.said(m, ASK_OLD_PROCESS, SHA))
            self.assertEqual(self.reseeds(m), 1)
        draws.append(self.said(m, DRAW, SHA, "demo"))
        draws.append(self.said(m, ASK_OLD_PROCESS, SHA))
        self.assertEqual(self.guest_id(m), source)
        self.assertEqual(self.reseeds(m), 0)
        self.assertEqual(len(set(ids)), count + 1)
        self.assertEqual(len(set(draws)), 2 * count + 2)
        # They run, and each has little of its own.
        listed = m.monitor("list")
        for name in names:
            kib = int(re.search(rf"{name} +running +512 MiB +(\d+) KiB", listed).group(1))
            self.assertLess(kib, 8 << 10)

        m.monitor("end demo-3")
        m.monitor("end demo")
        self.assertNotEqual(self.said(m, "genid", GUID, "demo-4"), source)
        self.assertIn("demo-3 is a clone of demo", m.monitor("clone s1 --paused"))

    def test_clones_of_what_is_on_the_volume(self):
        m = self.demo()
        source = self.guest_id(m)
        self.keep(m, "s1")
        self.power_cycle(m, "[vm demo]\nrestore = s1\nintent = resume\n")
        m.event("restored", 120, vm="demo")
        m.monitor("clone s1 2")
        ids = [self.said(m, "genid", GUID, name) for name in ("demo", "demo-1", "demo-2")]
        self.assertEqual(ids[0], source)
        self.assertEqual(len(set(ids)), 3)


class NoEntropy(Snapshots):
    """
    On a machine without a generator of random numbers, and whose clock has no jitter as it counts
    instructions: no new id, but what keeps the id goes on.
    """

    def test_only_a_known_id(self):
        m = self.demo(icount=True, cmdline=f"{ARCHES[self.arch].cmdline} quiet", deadline=600)
        first = self.guest_id(m)
        self.keep(m, "s1")
        m.kill()
        dry = self.machine(machine=f"{self.model}-norng", disk=self.logs / "disk.img",
                           logs=self.logs / "dry", icount=True, deadline=600)
        dry.event("error", 60)
        self.assertRegex(dry.monitor("log"), r"demo: not started: no entropy")
        for intent in NEW_ID:
            self.assertRegex(dry.monitor(f"restore s1 --intent {intent}", 120),
                             r"error: no new id for demo: no entropy; nothing was changed")
        self.assertIn("no entropy", dry.monitor("clone s1", 120))
        self.assertIn("no VMs", dry.monitor("list"))
        for intent in SAME_ID:
            self.restored(dry, "s1", intent)
            self.assertEqual(self.guest_id(dry), first)
            self.assertEqual(self.reseeds(dry), 0)
        self.assertRegex(dry.monitor("genid demo rotate"), r"error: no new id for demo")
        self.assertEqual(self.guest_id(dry), first)


for_machines(USUAL_MACHINES, Intents, globals())
for_machines(MACHINES, PowerCycle, globals())
for_machines(USUAL_MACHINES, OnTheVolume, globals())
for_machines(USUAL_MACHINES, Clones, globals())
for_machines(USUAL_MACHINES, NoEntropy, globals())


if __name__ == "__main__":
    unittest.main(verbosity=2)
