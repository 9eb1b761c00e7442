# SPDX-License-Identifier: MIT
"""One emulated machine with anew on it: started, typed to, listened to, killed."""

import json
import os
import re
import shlex
import signal
import subprocess
import tempfile
import threading
import time
from pathlib import Path

from . import esp, qemu
from .arch import ARCHES
from .errors import CouldNotRun, Failed
from .qmp import Qmp
from .stream import Demux, Event, Malformed, Output

TOP = qemu.TOP
SWITCH = b"\x1d"  # Ctrl-], between the guest and the monitor
RETURN = b"\r"
START_TIMEOUT = 60.0
ICOUNT_START_TIMEOUT = 300.0
GDB_START_TIMEOUT = 24 * 3600.0
SWITCH_TIMEOUT = 15.0
COMMAND_TIMEOUT = 60.0
# How long output of a guest that has ended may still be under way.
ENDED_GRACE = 2.0
ENDED_STATES = ("off", "failed")


def default_efi(arch):
    return TOP / f"build/{arch}/anew-{arch}.efi"


def _is(value, wanted):
    """Whether an event's @value is @wanted, which may be a text as scripts have it."""
    if value == wanted:
        return True
    return isinstance(wanted, str) and not isinstance(value, str) and json.dumps(value) == wanted


class Machine:
    """
    A machine that boots anew. Use it in a `with` statement: leaving it kills QEMU.

    arch, machine  what to emulate (qemu.MODELS); one is enough, x86_64's usual one without both
    efi            the application
    conf           the text of anew.conf; without it, one VM `demo` is made of kernel, initrd
                   (paths, None for no initrd), cmdline (None: the demo's), memory (MiB) and
                   vcpus
    folder         where the files that conf names are looked up
    files          further files: a dictionary from the path on the disk to the path here
    slack          room on the disk for what anew writes, in MiB
    disk           an image that another machine left, to start from a copy of: what is on it counts
                   in place of all of the above, but conf, which replaces the one there
    logs           a folder for everything that was seen; it is made, its old logs are replaced
    bus            what the disk is connected to: virtio, usb, nvme, sata
    readonly       the disk can't be written
    more_disks     images of further disks, on the same bus; they are used as they are
    screen         with a screen and a USB keyboard, which qmp reaches
    serial         False: without a serial port, so without events and output
    certificate    the only one that the firmware of a machine with Secure Boot trusts
    qmp            QEMU takes commands itself: see qmp() below
    ram            the machine's memory in MiB
    cpus           its processors
    threads        how they are emulated: "multi", "single" (thread), or as QEMU does by itself
    icount         count instructions for time: slow, and the same every time
    gdb            a TCP port where QEMU waits for a debugger
    command        another program in QEMU's place, for tests of the runner
    deadline       seconds that all waiting may take together
    """

    def __init__(self, arch=None, machine=None, efi=None, conf=None, folder=".", files=None,
                 kernel=None, initrd=None, cmdline=None, memory=256, vcpus=1, slack=esp.SLACK,
                 disk=None, logs=None, ram=2048, icount=False, gdb=None, command=None,
                 deadline=None, qmp=False, **devices):
        self.arch, self.machine_name = qemu.choose(arch, machine)
        self.logs = Path(logs) if logs else TOP / "build/logs" / self.machine_name
        self.on_output = None  # called with each piece of Output, from another thread
        self.on_event = None  # the same with the data of each Event
        self.efi = Path(efi) if efi else default_efi(self.arch)
        self._files = dict(files or {})
        if conf is None and not disk:
            base = TOP / "build/guest" / self.arch
            if kernel is None:
                kernel = base / "vmlinuz-6.12"
                initrd = initrd or base / "initrd"
            self._files["kernel"] = kernel
            if initrd:
                self._files["initrd"] = initrd
            if cmdline is None:
                cmdline = ARCHES[self.arch].cmdline
            conf = esp.conf_for("kernel", "initrd" if initrd else None, cmdline, memory,
                                vcpus)
        self._conf, self._folder, self._slack = conf, folder, slack
        self._disk = disk
        self._ram, self._icount, self._gdb, self._devices = ram, icount, gdb, devices
        # Not among the logs: such a path has to be short.
        # pylint: disable-next=consider-using-with
        self._qmp_folder = tempfile.TemporaryDirectory(prefix="anew-") if qmp else None
        self._qmp = None
        self._command = list(command) if command else None
        self._image = None
        self._end = time.monotonic() + deadline if deadline else None
        self._lock = threading.Condition()
        self._process = None
        self._reader = None
        self._log_files = {}
        self._forget()

    def _forget(self):
        """Nothing has been seen yet, or nothing that still counts."""
        self._demux = Demux()
        self.events = []  # all since the start, as dictionaries
        self._next_event = 0  # the first that event() has not passed
        self._guest_text = ""
        self._guest_at = 0  # what expect() has passed
        self._monitor_text = ""
        self._monitor_at = 0
        self._prompts = 0
        self._at_prompt = False
        self._ended_at = None
        self._states = {}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    # ---- starting and ending ----

    def prepare(self):
        """Makes the disk and QEMU's command line, once; start() does it by itself."""
        if self._log_files:
            return
        try:
            self.logs.mkdir(parents=True, exist_ok=True)
            if not self._command:
                chosen = qemu.MODELS[self.machine_name]
                self._image = self.logs / "disk.img"
                self._make_image()
                self._command = qemu.command(
                    chosen, self.logs, self._image, self._ram, self._icount, self._gdb,
                    qmp=self._qmp_folder and f"{self._qmp_folder.name}/qmp", **self._devices)
            (self.logs / "qemu-command").write_text(shlex.join(self._command) + "\n",
                                                    encoding="utf-8")
            for name in ("console.raw", "guest.log", "monitor.log", "events.jsonl", "stderr.log"):
                # pylint: disable=consider-using-with
                self._log_files[name] = open(self.logs / name, "wb", buffering=0)
        except OSError as error:
            raise CouldNotRun(f"can't make {self.logs} ready: {error}") from None

    def _make_image(self):
        events = self._devices.get("serial", True)
        if self._disk:
            esp.copy_image(self._image, self._disk, self._conf, events)
            return
        files = esp.collect(self._conf, self._folder, self._files)
        if not self.efi.is_file():
            raise CouldNotRun(f"there is no {self.efi}; build it with 'make', or name another with "
                              "--efi")
        esp.make_image(self._image, {ARCHES[self.arch].boot_file: self.efi,
                                     esp.CONF_NAME: esp.conf_file(self._image, self._conf, events),
                                     **files}, self._slack)

    def power_on(self):
        """Turns the machine on, with the disk as it was left, and waits for nothing."""
        if self._process:
            raise Failed("the machine runs already; kill it before it is started again")
        self.prepare()
        with self._lock:
            self._forget()
        try:
            # A group of its own: all of it can be killed, and a Ctrl-C of ours does not reach it.
            # pylint: disable=consider-using-with
            self._process = subprocess.Popen(
                self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                stderr=self._log_files["stderr.log"], bufsize=0, start_new_session=True)
        except OSError as error:
            raise CouldNotRun(f"can't start {self._command[0]}: {error}") from None
        self._reader = threading.Thread(target=self._read, args=(self._process,), daemon=True)
        self._reader.start()

    def start(self, timeout=None):
        """
        Turns the machine on and waits for anew's event `start`, which it returns. CouldNotRun
        when that does not come.
        """
        self.power_on()
        if timeout is None:
            timeout = ICOUNT_START_TIMEOUT if self._icount else START_TIMEOUT
            timeout = GDB_START_TIMEOUT if self._gdb else timeout
        started = self._wait(lambda: self._find_event(0, "start", {}), timeout)
        if started:
            return started[1]
        if self.running():
            text = (f"anew did not start: {self._why(timeout)}; the console is in "
                    f"{self.logs}/console.raw")
        else:
            text = (f"QEMU ended by itself (status {self._process.poll()}) before anew started; "
                    f"its errors are in {self.logs}/stderr.log")
        self.kill()
        errors = (self.logs / "stderr.log").read_text(encoding="utf-8", errors="replace")
        raise CouldNotRun(text, errors + self._monitor_text)

    def kill(self):
        """Pulls the plug: what was on its way to the disk may or may not be there."""
        process, self._process = self._process, None
        if not process:
            return
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        process.wait()
        if self._qmp:
            self._qmp.close()
            self._qmp = None
        self._reader.join(5)
        process.stdin.close()

    def close(self):
        """Kills QEMU where it still runs and closes the logs."""
        self.kill()
        if self._qmp_folder:
            self._qmp_folder.cleanup()
        for file in self._log_files.values():
            file.close()
        self._log_files = {}

    def running(self):
        return self._process is not None and self._process.poll() is None

    def qmp(self, name, /, **arguments):
        """Has QEMU itself do the command @name of its own protocol (QMP); returns the answer."""
        if not self.running():
            raise Failed("the machine is off: QEMU takes no commands")
        if not self._qmp:
            self._qmp = Qmp(f"{self._qmp_folder.name}/qmp")
        return self._qmp.command(name, arguments)

    # ---- what comes in ----

    def _read(self, process):
        demux = self._demux
        while True:
            try:
                data = os.read(process.stdout.fileno(), 65536)
            except OSError:
                data = b""
            if not data:
                break
            self._log("console.raw", data)
            for item in demux.feed(data):
                with self._lock:
                    self._take(item)
                    self._lock.notify_all()
                # Not under the lock: they may call us.
                if isinstance(item, Output) and self.on_output:
                    self.on_output(item)
                elif isinstance(item, Event) and self.on_event:
                    self.on_event(item.data)
        process.stdout.close()
        with self._lock:
            self._lock.notify_all()

    def _log(self, name, data):
        if isinstance(data, str):
            data = data.encode("utf-8", errors="replace")
        self._log_files[name].write(data)

    def _take(self, item):
        if isinstance(item, Output):
            # Terminals end a line with a return too, which no pattern wants to name.
            text = item.text.replace("\r", "")
            if item.vm is None:
                self._monitor_text += text
                self._log("monitor.log", item.text)
            else:
                self._guest_text += text
                self._log("guest.log", item.text)
            return
        if isinstance(item, Malformed):
            self._log("events.jsonl", json.dumps({"event": "malformed", "text": item.text}) + "\n")
            return
        data = item.data
        self.events.append(data)
        self._log("events.jsonl", json.dumps(data) + "\n")
        if data["event"] == "prompt":
            self._prompts += 1
            self._at_prompt = True
        elif data["event"] == "focus":
            if data.get("vm") is not None:
                self._at_prompt = False
        elif data["event"] == "vm" and "vm" in data:
            self._states[data["vm"]] = data
            ended = all(vm.get("state") in ENDED_STATES for vm in self._states.values())
            self._ended_at = time.monotonic() if ended else None

    def _find_event(self, start, name, match):
        """(index, event) of the first event from @start that is called @name and has @match."""
        for index in range(start, len(self.events)):
            data = self.events[index]
            if data["event"] == name and all(
                    key in data and _is(data[key], value) for key, value in match.items()):
                return index, data
        return None

    def _wait(self, condition, timeout, give_up=None):
        """
        Waits until @condition, called under the lock, returns something true, and returns that;
        None after @timeout seconds, when QEMU has ended, or when @give_up returns true.
        """
        end = time.monotonic() + timeout
        if self._end:
            end = min(end, self._end)
        with self._lock:
            while True:
                # First this: what it wrote before its end is then there to be looked at.
                over = not self._reader or not self._reader.is_alive()
                result = condition()
                if result:
                    return result
                if over:
                    return None
                left = end - time.monotonic()
                if left <= 0 or (give_up and give_up()):
                    return None
                # Not longer: the end of the reader is looked at too.
                self._lock.wait(min(left, 0.25))

    def _why(self, timeout):
        """Why _wait() has returned nothing, in words."""
        if not self.running():
            status = self._process.poll() if self._process else None
            return "the machine is off" if status is None else f"QEMU has ended (status {status})"
        if self._end and time.monotonic() >= self._end:
            return "the time for the whole run is over"
        if self._ended_at is not None:
            return "; ".join(self._state_text(vm) for vm in self._states.values())
        return f"not within {timeout:g} s"

    @staticmethod
    def _state_text(vm):
        cause = f" ({vm['cause']})" if vm.get("cause") else ""
        return f"VM {vm['vm']} is {vm.get('state')}{cause}"

    def _off(self):
        return self._ended_at is not None and time.monotonic() - self._ended_at > ENDED_GRACE

    # ---- typing ----

    def send(self, data):
        """Types bytes as they are, to whoever has the console."""
        if not self.running():
            raise Failed("the machine is off: nothing can be typed")
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(self._process.stdin.fileno(), view):]
        except OSError as error:
            raise Failed(f"QEMU takes no input any more: {error}") from None

    @property
    def focus(self):
        """The name of the VM that has the console; None: the monitor has it."""
        return self._demux.focus

    def focus_guest(self):
        """Gives the console to a guest: the last that had it."""
        self._change_focus(lambda: self.focus is not None, "no guest got the console")

    def focus_monitor(self):
        """Gives the console to the monitor and waits for its prompt."""
        self._change_focus(lambda: self.focus is None and self._at_prompt,
                           "the monitor showed no prompt")

    def _change_focus(self, there, failure):
        with self._lock:
            seen = len(self.events)
        # While anew starts, or the monitor works, neither listens: it may become the one or the
        # other, and Ctrl-] would change that again.
        done = self._wait(lambda: self.focus is not None or self._at_prompt, SWITCH_TIMEOUT)
        if done:
            with self._lock:
                change = not there()
            if change:
                self.send(SWITCH)
                done = self._wait(there, SWITCH_TIMEOUT)
        if not done:
            raise Failed(f"{failure}: {self._why(SWITCH_TIMEOUT)}", self._events_text(seen))

    def guest(self, text=""):
        """Types a line to the guest."""
        self.focus_guest()
        self.send(text.encode() + RETURN)

    def monitor(self, command, timeout=COMMAND_TIMEOUT):
        """
        Types a command to the monitor and waits until it asks for the next one, or gives the
        console to a guest; after `exit` there is nothing to wait for. Returns what it wrote.
        """
        self.focus_monitor()
        with self._lock:
            prompts, at = self._prompts, len(self._monitor_text)
            self._at_prompt = False
        self.send(command.encode() + RETURN)
        if command.split()[:1] == ["exit"]:
            return ""
        done = self._wait(lambda: self._prompts > prompts or self.focus is not None, timeout)
        with self._lock:
            text = self._monitor_text[at:]
        if not done:
            raise Failed(f"the monitor did not finish {command!r}: {self._why(timeout)}", text)
        return text

    # ---- judging ----

    def expect(self, pattern, timeout=30.0):
        """
        Waits until a guest's output since the last match matches the regular expression
        @pattern (lines end with a newline alone; ^ and $ are a line's). Returns the match.
        """
        return self._expect("_guest_text", "_guest_at", pattern, timeout, self._off)

    def expect_monitor(self, pattern, timeout=30.0):
        """The same with the monitor's output."""
        return self._expect("_monitor_text", "_monitor_at", pattern, timeout, None)

    def _expect(self, text, at, pattern, timeout, give_up):
        if isinstance(pattern, str):
            pattern = re.compile(pattern, re.M)
        match = self._wait(lambda: pattern.search(getattr(self, text), getattr(self, at)),
                           timeout, give_up)
        with self._lock:
            if match:
                setattr(self, at, match.end())
                return match
            seen = getattr(self, text)[getattr(self, at):]
        who = "the guest" if text == "_guest_text" else "the monitor"
        raise Failed(f"{who} did not write what matches {pattern.pattern!r}: "
                     f"{self._why(timeout)}", seen)

    def guest_output(self):
        """All that the guests have written since the start."""
        with self._lock:
            return self._guest_text

    def skip_output(self):
        """Passes over all that the guests have written so far."""
        with self._lock:
            self._guest_at = len(self._guest_text)

    def event(self, name, timeout=30.0, /, **match):
        """
        Waits for an event @name that has every key and value of @match, after the last one that
        this returned. Returns it, a dictionary.
        """
        found = self._wait(lambda: self._find_event(self._next_event, name, match), timeout)
        with self._lock:
            if found:
                self._next_event = found[0] + 1
                return found[1]
            start = self._next_event
        wanted = "".join(f" {key}={value}" for key, value in match.items())
        raise Failed(f"there was no event {name}{wanted}: {self._why(timeout)}",
                     self._events_text(start))

    def _events_text(self, start):
        with self._lock:
            return "".join(json.dumps(data) + "\n" for data in self.events[start:])

    def wait_off(self, timeout):
        """Waits until QEMU ends by itself; whether it did."""
        self._wait(lambda: not self.running(), timeout)
        return not self.running()
