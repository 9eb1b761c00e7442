# SPDX-License-Identifier: MIT
"""The demonstration: a guest is put back twice to the same moment, and knows it each time."""

import argparse
import re
import sys
import textwrap
import threading
import time
from typing import NamedTuple, Optional

from . import console
from .cli import add_machine_options, end_on_signals
from .errors import RunnerError, report
from .machine import TOP, Machine

SNAPSHOT = "s1"
RESTORES = ("first restore", "second restore")
RESEED = r"crng reseeded due to virtual machine fork"
ID = r"^([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}) 0x[0-9a-f]{16}:0x[0-9a-f]{16}$"
RANDOM = r"^([0-9a-f]{32})$"

BOOT_TIMEOUT = 180.0
COMMAND_TIMEOUT = 60.0
RESEED_TIMEOUT = 60.0
TICK = 4.0  # seconds without a line after which it is said that we still wait
WIDTH = 79


class Reading(NamedTuple):
    """What one guest says of itself."""

    who: str
    id: str
    random: str
    reseeded: Optional[bool]  # None: nobody looked


class Progress:
    """Says what is being done, and every few seconds that it still is."""

    def __init__(self, write, detail):
        self._write = write
        self._detail = detail  # called for what is added to a line that says that we still wait
        self._begin = time.monotonic()
        self._text = None
        self._since = self._said = self._begin
        self._lock = threading.Lock()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._tick, daemon=True)
        self._thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._done.set()
        self._thread.join()

    def say(self, text):
        with self._lock:
            self._text = text
            self._since = time.monotonic()
            self._line(text)

    def _line(self, text):
        self._said = time.monotonic()
        self._write(f"[{self._said - self._begin:5.1f} s] {text}"[:WIDTH])

    def _tick(self):
        while not self._done.wait(0.2):
            with self._lock:
                now = time.monotonic()
                if self._text and now - self._said >= TICK:
                    self._line(f"  ... for {now - self._since:.0f} s now{self._detail()}")


def _read(machine, who, reseeded=None):
    machine.guest("genid")
    number = machine.expect(ID, COMMAND_TIMEOUT).group(1)
    machine.guest("rnd")
    return Reading(who, number, machine.expect(RANDOM, COMMAND_TIMEOUT).group(1), reseeded)


def _read_on(machine, who):
    """The reading of a guest that runs on, and has no reason to reseed."""
    before = len(machine.guest_output())
    reading = _read(machine, who)
    return reading._replace(reseeded=bool(re.search(RESEED, machine.guest_output()[before:])))


def _restore(machine, progress, who):
    progress.say(f"{who}: restore {SNAPSHOT} --intent rollback")
    machine.focus_monitor()
    machine.skip_output()
    machine.monitor(f"restore {SNAPSHOT} --intent rollback")
    machine.event("restored", COMMAND_TIMEOUT)
    progress.say(f"{who}: waiting until the guest's kernel notices")
    machine.focus_guest()
    machine.expect(RESEED, RESEED_TIMEOUT)
    progress.say(f"{who}: it did; reading its id and 16 random bytes")
    return _read(machine, who, True)


def problems(source, kept, restored):
    """What the readings say that they should not, in words; an empty list where all is well."""
    found = []
    if source.id != kept.id:
        found.append("the source's id changed, though nothing but a snapshot was taken")
    if kept.reseeded:
        found.append("the source's kernel reseeded, though it was not put back")
    ids = [source.id] + [reading.id for reading in restored]
    if len(set(ids)) != len(ids):
        found.append("two of the three have the same id")
    everything = [source, kept, *restored]
    if len({reading.random for reading in everything}) != len(everything):
        found.append("the same 16 random bytes came twice")
    found += [f"the kernel did not reseed after the {reading.who}"
              for reading in restored if not reading.reseeded]
    return found


def _spaced(digits):
    return " ".join(digits[start:start + 8] for start in range(0, len(digits), 8))


def table(readings):
    """The lines of the table of @readings."""
    width = max(len(reading.who) for reading in readings)
    rule = f"+-{'-' * width}-+-{'-' * 36}-+-----------+"
    lines = [rule, f"| {'who':{width}} | {'id the guest reads':36} | reseeded? |",
             f"| {'':{width}} | {'16 bytes of urandom':36} |           |", rule]
    for reading in readings:
        reseeded = {None: "-", True: "yes", False: "no"}[reading.reseeded]
        lines += [f"| {reading.who:{width}} | {reading.id:36} | {reseeded:9} |",
                  f"| {'':{width}} | {_spaced(reading.random):36} |           |", rule]
    return lines


PROOF = ("What this proves: the guest was put back twice to the very same moment, with the very "
         "same memory, and both times its kernel knew: it read a new id and reseeded its random "
         "generator before it was asked for anything. The three ids are pairwise different, no "
         "random bytes came twice, and the source, which was not put back, kept its id.")


def tell(machine, write):
    """Runs it on @machine, which is not started yet. The exit status; Failed when it breaks off."""
    def last_line():
        lines = machine.guest_output().rstrip().rsplit("\n", 1)
        # Not what would move the cursor of who reads this.
        text = "".join(c for c in lines[-1] if c.isprintable())
        return f"; the guest's last line: {text}" if text else ""

    with Progress(write, last_line) as progress:
        progress.say(f"starting the machine {machine.machine_name} with anew")
        machine.start()
        progress.say("anew runs; the demo guest (an unmodified Debian kernel) boots")
        machine.expect(r"^anew-demo: ready$", BOOT_TIMEOUT)
        machine.expect(r"^demo# ", COMMAND_TIMEOUT)
        progress.say("source: the guest is up; reading its id and 16 random bytes")
        source = _read(machine, "source")
        progress.say(f"source: snapshot demo {SNAPSHOT}")
        machine.monitor(f"snapshot demo {SNAPSHOT}")
        machine.event("snapshot", COMMAND_TIMEOUT)
        progress.say("source: it runs on; reading again")
        kept = _read_on(machine, "source, later")
        restored = [_restore(machine, progress, who) for who in RESTORES]
    write("")
    for line in table([source, kept, *restored]):
        write(line)
    write("")
    found = problems(source, kept, restored)
    for line in textwrap.wrap("This is wrong: " + "; ".join(found) + "." if found else PROOF,
                              WIDTH):
        write(line)
    return 1 if found else 0


def main(arguments=None):
    """The exit status."""
    parser = argparse.ArgumentParser(
        prog="story", description="Show on a real kernel what anew is for: a guest that is put "
        "back to an earlier moment knows it. On a terminal you are then left in its console.")
    add_machine_options(parser)
    parser.add_argument("--kernel", metavar="FILE", help="default: build/guest/ARCH/vmlinuz-6.12")
    parser.add_argument("--initrd", metavar="FILE", help="default: build/guest/ARCH/initrd")
    parser.add_argument("--no-console", action="store_true", help="end when the story is told")
    options = parser.parse_args(arguments)
    end_on_signals()

    def write(line):
        print(line, flush=True)

    try:
        with Machine(arch=options.arch, machine=options.machine, efi=options.efi,
                     kernel=options.kernel, initrd=options.initrd, cpus=options.cpus,
                     logs=options.logs or TOP / "build/logs/story") as machine:
            status = tell(machine, write)
            if not options.no_console and console.on_terminal():
                write("")
                write("You are now in the guest's console; try: genid, rnd, poweroff -f.")
                write(console.HINT)
                write("")
                machine.guest()
                console.interact(machine)
            return status
    except RunnerError as error:
        report(error, lambda line: print(line, file=sys.stderr, flush=True))
        return error.status
    except KeyboardInterrupt:
        print("story: stopped", file=sys.stderr)
        return 2
