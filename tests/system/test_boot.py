# SPDX-License-Identifier: MIT
"""How anew is started, and by whom: a report on the machine, Secure Boot, a screen alone."""

import re
import subprocess
import time
import unittest

from screen import ALPHABET, Screen
from support import ARCHES, TOP, USUAL_MACHINES, for_machines

from anew_runner.machine import default_efi

SECURE = {"x86_64": "q35-secure", "arm64": "virt-secure"}


class Check:
    """`--check`, and `check` in anew.conf: a report, and back to the firmware."""

    def test_report(self):
        """From the firmware's shell, which says how it ended: by anew.conf, and by the option."""
        self.logs.mkdir(parents=True, exist_ok=True)
        script = self.logs / "startup.nsh"
        script.write_text("fs0:\r\nanew.efi\r\nrm anew.conf\r\nanew.efi --check\r\n"
                          "echo status is %lasterror%\r\n", encoding="ascii")
        m = self.prepared(conf="[anew]\ncheck = on\n", files={
            "startup.nsh": script, "anew.efi": default_efi(self.arch)})
        m.prepare()
        subprocess.run(["mdel", "-i", f"{self.logs}/disk.img@@1M",
                        f"::{ARCHES[self.arch].boot_file}"], check=True)
        m.power_on()
        for _ in range(2):
            met = int(m.expect_monitor(r"all (\d+) requirements are met: anew can run", 180).group(1))
            self.assertGreater(met, 5)
        m.expect_monitor(r"status is 0x0", 60)
        console = self.console()
        for what in ("random numbers", "memory for guests", "files on the volume of anew",
                     "a volume that snapshots can be written to", "a sound anew.conf, or none"):
            self.assertEqual(console.count(f"yes  {what}"), 2)
        self.assertNotRegex(console, r"(?m)^no   ")

    def test_report_of_what_is_missing(self):
        m = self.prepared(machine={"x86_64": "q35-nosvm", "arm64": "virt-noel2"}[self.arch],
                          conf="[anew]\ncheck = on\nevent = on\n", bus="usb", readonly=True)
        m.power_on()
        m.expect_monitor(r"\n[34] of \d+ requirements are not met", 180)
        m.expect_monitor(r"anew\.conf:3: not a key of \[anew\] \(event\)", 30)
        console = self.console()
        self.assertRegex(console, r"no   (AMD SVM|EL2): .*needs")
        self.assertRegex(console, r"no   a volume that snapshots can be written to: .*protect")
        self.assertRegex(console, r"no   a sound anew\.conf, or none: ")
        self.assertIn("yes  memory for guests", console)


class SecureBoot:
    """A firmware that trusts one key, which isn't Microsoft's."""

    def test_only_what_is_signed_starts(self):
        self.logs.mkdir(parents=True, exist_ok=True)
        key, certificate = self.logs / "key.pem", self.logs / "certificate.pem"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "3650",
                        "-subj", "/CN=a test of anew", "-keyout", key, "-out", certificate],
                       check=True, capture_output=True)
        subprocess.run(["make", "--no-print-directory", "-C", TOP, "sign", f"KEY={key}",
                        f"CERT={certificate}", f"SIGNED={self.logs}"],
                       check=True, capture_output=True)
        conf = (TOP / "tests/demo/anew.conf").read_text(encoding="utf-8")
        m = self.prepared(machine=SECURE[self.arch], disk=self.logs / "anew.img", conf=conf,
                          certificate=certificate)
        m.start(180)
        self.assertRegex(m.monitor("list"), r"demo +running")
        m.kill()

        changed = self.logs / "changed.efi"
        data = bytearray((self.logs / self.arch / f"anew-{self.arch}.efi").read_bytes())
        data[len(data) // 2] ^= 1
        changed.write_bytes(data)
        subprocess.run(["mcopy", "-o", "-i", f"{self.logs}/disk.img@@1M", changed,
                        f"::{ARCHES[self.arch].boot_file}"], check=True)
        m.power_on()
        m.expect_monitor(r"Access Denied|Security Violation", 180)
        self.assertEqual(self.console().count('"event":"start"'), 1)


class ScreenAlone:
    """No serial port: a screen and a USB keyboard."""

    def waits(self, screen, seconds, true):
        """Whether @true of the screen's text becomes so; and the last text."""
        end = time.monotonic() + seconds
        while True:
            text = screen.text(self.logs / "screen.ppm")
            if true(text) or time.monotonic() > end:
                return true(text), text
            time.sleep(2)

    def shows(self, screen, wanted, seconds):
        """The screen has a line that matches, or will."""
        found, text = self.waits(screen, seconds, lambda text: re.search(wanted, text, re.M))
        if not found:
            self.fail(f"the screen does not show {wanted}:\n{text}")

    def goes_to_monitor(self, screen):
        """The monitor has the keyboard, and shows what it is asked for."""
        for _ in range(4):
            screen.type("list\n")
            found, text = self.waits(screen, 15,
                                     lambda text: re.search(r"^demo +running", text, re.M))
            if found:
                return
            # Then it was the guest that got it.
            screen.press("f12")
        self.fail(f"the monitor does not answer:\n{text}")

    def test_monitor_and_guest(self):
        conf = (TOP / "tests/demo/anew.conf").read_text(encoding="utf-8")
        m = self.prepared(disk=TOP / "build/anew.img", conf=conf, bus="usb", screen=True,
                          serial=False, qmp=True, deadline=600)
        m.power_on()
        screen = Screen(m)
        end = time.monotonic() + 240
        # Nothing is known of what the screen shows, until the monitor shows what it was given.
        while not screen.learn(self.logs / "screen.ppm"):
            self.assertLess(time.monotonic(), end, "the monitor shows nothing of what was typed")
            time.sleep(5)
            screen.press("ctrl", "u")
            screen.press("f12")
            screen.press("ctrl", "u")
            screen.type(ALPHABET)
            time.sleep(2)
        screen.press("ctrl", "u")
        # What the line had is gone, by its end or character by character.
        gone, text = self.waits(screen, 30,
                                lambda text: ALPHABET[5:] not in text.split("\n")[-1])
        self.assertTrue(gone, text)
        self.goes_to_monitor(screen)
        # Ctrl-] is a key with Ctrl that firmware gives no character of its own.
        screen.press("ctrl", "bracket_right")
        screen.type("uname -m\n")
        self.shows(screen, {"x86_64": r"^x86.64$", "arm64": r"^aarch64$"}[self.arch], 120)
        screen.press("f12")
        screen.type("snapshot demo s1\n")
        self.shows(screen, r"^snapshot s1 of demo. frozen", 120)
        screen.type("exit\n")
        self.shows(screen, r"^anew ends", 60)


# Not arm64: typing to its firmware with a screen alone is not shown to reach the monitor yet.
for_machines([("x86_64", "q35-svm")], ScreenAlone, globals())
for_machines(USUAL_MACHINES, Check, globals())
for_machines(USUAL_MACHINES, SecureBoot, globals())


if __name__ == "__main__":
    unittest.main(verbosity=2)
