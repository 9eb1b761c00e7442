# SPDX-License-Identifier: MIT
"""What the system tests share: the machines they run on, and how a test gets one."""

import os
import sys
import unittest
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(TOP / "qemu-runner"))

# pylint: disable=wrong-import-position
from anew_runner.arch import ARCHES
from anew_runner.machine import Machine

LOGS = TOP / "build/logs"
# Where the tests that are the same everywhere run: (architecture, machine of qemu-runner).
MACHINES = (("x86_64", "q35-svm"), ("arm64", "virt-gicv3"), ("arm64", "virt-vhe"),
            ("arm64", "virt-gicv2"), ("arm64", "virt-max-10"))
# One for each architecture, for what doesn't depend on the machine.
USUAL_MACHINES = tuple({arch: (arch, model) for arch, model in reversed(MACHINES)}.values())
# What boots as a payload kernel there.
PAYLOAD_SUFFIX = {"x86_64": "elf", "arm64": "img"}

READY = r"anew-demo: ready"
RESEED = r"random: crng reseeded due to virtual machine fork"
GUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"


class SystemTest(unittest.TestCase):
    """Machines of one architecture, with their logs in a folder of the test's name."""

    arch = "x86_64"
    model = None  # the architecture's default

    def setUp(self):
        wanted = os.environ.get("TEST_ARCHES", self.arch).split()
        if self.arch not in wanted:
            self.skipTest(f"only {' and '.join(wanted)} is tested")
        if (TOP / "build" / self.arch).is_dir():
            return
        text = f"anew for {self.arch} isn't built: make build guests payloads ARCH={self.arch}"
        # Whoever wanted everything tested must not take a skipped architecture for a good one.
        if os.environ.get("CI"):
            self.fail(text)
        self.skipTest(text)

    @property
    def guests(self):
        """The folder with Debian's kernels and the demo guest's initrd."""
        return TOP / "build/guest" / self.arch

    @property
    def logs(self):
        """The folder of this test's logs."""
        return LOGS / "-".join(self.id().rsplit(".", 2)[-2:])

    def payload_file(self, name):
        """The path of the payload kernel @name."""
        return TOP / "build" / self.arch / "payload" / f"{name}.{PAYLOAD_SUFFIX[self.arch]}"

    def prepared(self, **options):
        """A machine that is still off, and ends with the test."""
        machine = Machine(**{"arch": self.arch, "machine": self.model, "logs": self.logs,
                             "deadline": 240, **options})
        self.addCleanup(machine.close)
        return machine

    def machine(self, **options):
        """A started machine that ends with the test."""
        machine = self.prepared(**options)
        machine.start()
        return machine

    def payloads(self, *names, extra="", files=None, **options):
        """
        A started machine with the payload kernels @names, each in a VM of its name, the first in
        focus; @extra are further lines of the last one's configuration, @options the machine's.
        """
        conf = "".join(f"[vm {name}]\nmemory = 32M\nkernel = {name}\ntestdev = on\n"
                       for name in names) + extra
        return self.machine(conf=conf, files={**{name: self.payload_file(name) for name in names},
                                              **(files or {})}, **options)

    def console(self):
        """All that came on the console so far."""
        return (self.logs / "console.raw").read_text(errors="replace")

    def check_payload(self, machine, name, timeout=60):
        """The payload @name, alone on @machine, ended and found nothing wrong."""
        machine.expect(r"payload: result \d+", timeout)
        text = machine.guest_output()
        self.assertNotIn("FAIL:", text)
        self.assertNotIn("ERROR:", text)
        self.assertIn("PASS:", text)
        machine.event("vm", 10, vm=name, state="off")

    # ---- the demo guest ----

    def demo(self, **options):
        """A started machine with the demo guest up."""
        machine = self.machine(**options)
        machine.expect(READY, 120)
        return machine

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

    def id_after_rollback(self, machine, timeout):
        """The new id of the guest, put back to s1 and reseeded, as it and the monitor have it."""
        machine.skip_output()
        machine.monitor("restore s1 --intent rollback")
        machine.event("restored", 30, intent="rollback")
        machine.focus_guest()
        machine.expect(RESEED, timeout)
        found = self.guest_id(machine)
        self.assertEqual(found, self.shown_id(machine))
        return found


def slow(test):
    """Marks a test that takes long, which `make test-slow` runs."""
    test.slow = True
    return test


def for_machines(machines, tests, namespace):
    """Puts a class with the test methods of @tests into @namespace for each of @machines."""
    for arch, model in machines:
        name = f"{tests.__name__}_{model}".replace("-", "_")
        namespace[name] = type(name, (tests, SystemTest),
                               {"arch": arch, "model": model, "__module__": tests.__module__})
