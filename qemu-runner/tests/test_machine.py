# SPDX-License-Identifier: MIT
"""The machine, the script engine and the story against a program that stands in for QEMU."""

import contextlib
import io
import json
import os
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path
from unittest import mock

from anew_runner import CouldNotRun, Failed, Machine, cli, script, story

FAKE = Path(__file__).resolve().with_name("fake_qemu.py")


class FakeTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.logs = Path(folder.name)

    def machine(self, mode="", **arguments):
        machine = Machine(logs=self.logs, command=[sys.executable, str(FAKE), mode], **arguments)
        self.addCleanup(machine.close)
        return machine


class MachineTest(FakeTest):
    def execute(self, text, mode="", **arguments):
        machine = self.machine(mode, **arguments)
        machine.start()
        script.execute(machine, script.parse(text, "t"), "t")
        return machine

    def test_script_of_a_restore(self):
        self.execute("""
            expect 5 anew-demo: ready
            event 5 vm vm=demo state=running
            guest genid
            expect 5 ^324e6eaf-
            monitor snapshot demo s1
            event 5 snapshot vm=demo name=s1 pages=1234 quiescent=true
            monitor restore s1 --intent rollback
            event 5 restored intent=rollback
            guest genid
            expect 5 crng reseeded due to virtual machine fork
            expect 5 ^[0-9a-f-]{36} 0x
            monitor nonsense
            expect-monitor 5 no such command: nonsense
        """)
        events = [json.loads(line)
                  for line in (self.logs / "events.jsonl").read_text().splitlines()]
        self.assertEqual(events[0]["event"], "start")
        self.assertIn("anew-demo: ready", (self.logs / "guest.log").read_text())
        self.assertNotIn("\x1e", (self.logs / "guest.log").read_text())
        self.assertIn(b"\x1e", (self.logs / "console.raw").read_bytes())
        self.assertIn("fake_qemu.py", (self.logs / "qemu-command").read_text())

    def test_expect_does_not_look_back(self):
        with self.assertRaises(Failed) as caught:
            self.execute("expect 5 ready\nexpect 0.3 Linux version")
        self.assertIn("t:2: expect 0.3 Linux version\n", str(caught.exception))
        self.assertEqual(caught.exception.last_lines(), ["", "demo# "])

    def test_seen_is_at_most_thirty_lines(self):
        error = Failed("x", "".join(f"{i}\n" for i in range(50)))
        self.assertEqual(error.last_lines(), [str(i) for i in range(20, 50)])

    def test_event_that_does_not_come(self):
        with self.assertRaises(Failed) as caught:
            self.execute("event 0.3 genid state=read")
        self.assertIn("no event genid state=read", str(caught.exception))
        self.assertIn('"running"', caught.exception.seen)

    def test_a_failed_vm_is_named_and_not_waited_for(self):
        begin = time.monotonic()
        with self.assertRaises(Failed) as caught:
            self.execute("guest crash\nexpect 60 never")
        self.assertIn("VM demo is failed (triple fault)", str(caught.exception))
        self.assertLess(time.monotonic() - begin, 20)

    def test_kill_and_start_again(self):
        machine = self.execute("expect 5 ready\nkill\nstart\nexpect 5 ready\nguest rnd\n"
                               "expect 5 ^[0-9a-f]{32}$")
        self.assertEqual([data["event"] for data in machine.events].count("start"), 1)
        self.assertEqual((self.logs / "events.jsonl").read_text().count('"start"'), 2)
        self.assertEqual((self.logs / "guest.log").read_text().count("Linux version"), 2)
        with self.assertRaises(Failed):
            machine.start()

    def test_kill_leaves_no_process(self):
        machine = self.machine()
        machine.start()
        pid = machine._process.pid  # pylint: disable=protected-access
        machine.close()
        with self.assertRaises(ProcessLookupError):
            os.kill(pid, 0)

    def test_after_kill_nothing_can_be_typed(self):
        with self.assertRaises(Failed) as caught:
            self.execute("kill\nguest x")
        self.assertIn("the machine is off", str(caught.exception))

    def test_console_command_gives_the_guest_the_console(self):
        machine = self.machine()
        machine.start()
        machine.monitor("console demo", 5)
        self.assertEqual(machine.focus, "demo")

    def test_could_not_run(self):
        for mode, words in (("silent", "did not start"), ("dies", "could not load firmware")):
            with self.subTest(mode=mode):
                with self.assertRaises(CouldNotRun) as caught:
                    self.machine(mode).start(1)
                self.assertIn(words, str(caught.exception) + caught.exception.seen)
                self.assertEqual(caught.exception.status, 2)
        with self.assertRaises(CouldNotRun), \
                Machine(logs=self.logs, command=["/nonexistent/qemu"]) as machine:
            machine.start()

    def test_deadline_ends_all_waiting(self):
        with self.assertRaises(Failed) as caught:
            self.execute("expect 60 never", deadline=1.5)
        self.assertIn("the time for the whole run is over", str(caught.exception))

    def test_missing_files_could_not_run(self):
        with self.assertRaises(CouldNotRun) as caught:
            Machine(logs=self.logs, efi="/nonexistent.efi", conf="[vm a]\nkernel = k\n",
                    folder=self.logs).start()
        self.assertIn("k (for k on the disk)", str(caught.exception))


class StoryTest(FakeTest):
    def tell(self, mode=""):
        lines = []
        status = story.tell(self.machine(mode), lines.append)
        return status, "\n".join(lines)

    def test_good(self):
        status, text = self.tell()
        self.assertEqual(status, 0, text)
        self.assertIn("324e6eaf-d1d1-4bf6-bf41-b9bb6c91fb87", text)
        self.assertIn("What this proves", text)
        self.assertLessEqual(max(map(len, text.split("\n"))), 79)

    def test_no_reseed(self):
        with mock.patch.object(story, "RESEED_TIMEOUT", 0.5):
            with self.assertRaises(Failed) as caught:
                self.tell("same-id")
        self.assertIn("crng reseeded", str(caught.exception))

    def test_what_is_not_unique_is_said(self):
        source = story.Reading("source", "id1", "r1", None)
        kept = story.Reading("source, after the snapshot", "id1", "r2", False)
        first = story.Reading("first", "id2", "r3", True)
        second = story.Reading("second", "id3", "r4", True)
        self.assertEqual(story.problems(source, kept, [first, second]), [])
        for wrong in ([first, second._replace(id="id2")], [first, second._replace(random="r3")],
                      [first._replace(id="id1"), second], [first._replace(reseeded=False), second],
                      [first._replace(random="r1"), second]):
            self.assertEqual(len(story.problems(source, kept, wrong)), 1, wrong)
        for wrong in (kept._replace(id="id9"), kept._replace(reseeded=True)):
            self.assertEqual(len(story.problems(source, wrong, [first, second])), 1, wrong)


class CommandLineTest(unittest.TestCase):
    def run_cli(self, *arguments):
        return subprocess.run([sys.executable, str(FAKE.parent.parent / "run"), *arguments],
                              text=True, capture_output=True, check=False, timeout=60)

    def test_list_machines(self):
        done = self.run_cli("--list-machines")
        self.assertEqual(done.returncode, 0)
        self.assertIn("q35-svm ", done.stdout)
        self.assertRegex(done.stdout, "virt-gicv3 +arm64 ")

    def test_wrong_script_is_status_2(self):
        with tempfile.NamedTemporaryFile("w", suffix=".script") as file:
            file.write("gest x\n")
            file.flush()
            done = self.run_cli("--script", file.name)
        self.assertEqual(done.returncode, 2)
        self.assertIn(":1: there is no verb 'gest'", done.stderr)

    def test_conf_excludes_kernel(self):
        done = self.run_cli("--conf", "x", "--kernel", "y")
        self.assertEqual(done.returncode, 2)

    def test_what_to_type_in_a_debugger(self):
        with tempfile.TemporaryDirectory() as folder:
            given = []

            def machine(_parser, options):
                given.append(options.gdb)
                return Machine(logs=folder, efi="/x/anew-arm64.efi",
                               command=[sys.executable, str(FAKE)])

            parser = cli._parser()  # pylint: disable=protected-access
            with mock.patch.object(cli, "_machine", machine), \
                    contextlib.redirect_stderr(io.StringIO()):
                text = cli._debugger(parser, parser.parse_args(["--gdb"]))
                refused = cli._debugger(parser, parser.parse_args(["--gdb", "5", "--no-start"]))
        self.assertIn("'target remote localhost:1234'", text)
        self.assertIn("'add-symbol-file /x/anew.elf -o 0x7df6b000'", text)
        self.assertEqual(given, [None])
        self.assertIn("localhost:5", refused)
        self.assertNotIn("symbol", refused)

    def test_status_of_a_script(self):
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, "t.script")

            def machine(*_arguments):
                return Machine(logs=folder, command=[sys.executable, str(FAKE)])

            with mock.patch.object(cli, "_machine", machine), \
                    mock.patch("builtins.print"), mock.patch.object(cli, "end_on_signals"):
                for text, status in (("expect 5 ready", 0), ("expect 0.2 never", 1)):
                    file.write_text(text)
                    self.assertEqual(cli.main(["--script", str(file)]), status)


if __name__ == "__main__":
    unittest.main()
