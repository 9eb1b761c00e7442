# SPDX-License-Identifier: MIT
"""QEMU without anew: its own snapshots, for comparison. Driven over QMP, its machine protocol."""

import json
import socket
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from anew_runner.errors import CouldNotRun, Failed
from anew_runner.machine import Machine

CONNECT_TIMEOUT = 30.0
ANSWER_TIMEOUT = 600.0
UNLIMITED = 1 << 40  # bytes a second; without that a migration is slowed down on purpose


class Saved(NamedTuple):
    """How a guest was kept."""

    ms: float
    bytes: int


class Qmp:
    """A connection to a QEMU with a QMP server at the socket @path."""

    def __init__(self, path):
        end = time.monotonic() + CONNECT_TIMEOUT
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(ANSWER_TIMEOUT)
        while True:
            try:
                self._socket.connect(str(path))
                break
            except OSError as error:
                if time.monotonic() > end:
                    raise CouldNotRun(f"QEMU's QMP can't be had: {error}") from None
                time.sleep(0.002)
        self._lines = self._socket.makefile("r", encoding="utf-8")
        self._events = []
        self._read()  # its greeting
        self.execute("qmp_capabilities")

    def close(self):
        """Ends the connection; QEMU runs on."""
        self._lines.close()
        self._socket.close()

    def _read(self):
        try:
            line = self._lines.readline()
        except OSError as error:
            raise Failed(f"QEMU's QMP doesn't answer: {error}") from None
        if not line:
            raise Failed("QEMU has ended its QMP")
        return json.loads(line)

    def execute(self, name, **arguments):
        """Has the command @name done; returns what it answers."""
        names = {key.replace("_", "-"): value for key, value in arguments.items()}
        text = json.dumps({"execute": name, "arguments": names})
        self._socket.sendall(text.encode() + b"\n")
        while True:
            data = self._read()
            if "event" in data:
                self._events.append(data)
            elif "error" in data:
                raise Failed(f"QEMU refuses {name}: {data['error']['desc']}")
            else:
                return data["return"]

    def event(self, name, **match):
        """Waits for an event @name whose data has @match, passing over all before it."""
        while True:
            data = self._events.pop(0) if self._events else self._read()
            if data.get("event") == name and match.items() <= data.get("data", {}).items():
                return


class Plain:
    """
    A guest of QEMU's own, from its start by the command line @command to its snapshots, which stay
    in the folder @logs until close().
    """

    def __init__(self, arch, command, logs):
        self._arch, self._command, self._logs = arch, command, logs
        self._stream = logs / "migrated"
        self._disk = logs / "saved.qcow2"
        logs.mkdir(parents=True, exist_ok=True)
        self.close()  # what an earlier run may have left

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        """What takes much room goes."""
        self._stream.unlink(missing_ok=True)
        self._stream.with_suffix(".part").unlink(missing_ok=True)
        self._disk.unlink(missing_ok=True)

    def _machine(self, folder, *more):
        qmp = Path(folder) / "qmp"
        words = [*self._command, "-qmp", f"unix:{qmp},server=on,wait=off", *more]
        return Machine(arch=self._arch, command=words, logs=self._logs), qmp

    def _add_disk(self, qmp):
        """Gives QEMU an image for savevm to write to, of which the guest sees nothing."""
        self._disk.write_bytes(b"")
        qmp.execute("blockdev-add", driver="file", node_name="file", filename=str(self._disk))
        qmp.execute("blockdev-create", job_id="create",
                    options={"driver": "qcow2", "file": "file", "size": 1 << 24})
        qmp.event("JOB_STATUS_CHANGE", id="create", status="concluded")
        qmp.execute("job-dismiss", id="create")
        qmp.execute("blockdev-add", driver="qcow2", node_name="saved", file="file")

    def _await_stream(self):
        end = time.monotonic() + ANSWER_TIMEOUT
        while not self._stream.exists():
            if time.monotonic() > end:
                raise Failed(f"what QEMU migrates does not get to {self._stream}")
            time.sleep(0.001)

    def save(self, prepare):
        """
        Boots the guest, has prepare(machine) done, and keeps it both ways: (Saved by savevm, Saved
        by migrate). The guest runs on meanwhile, as far as QEMU lets it.
        """
        with tempfile.TemporaryDirectory() as folder:
            machine, path = self._machine(folder)
            with machine:
                machine.power_on()
                qmp = Qmp(path)
                self._add_disk(qmp)
                prepare(machine)
                begin = time.monotonic()
                refused = qmp.execute("human-monitor-command", command_line="savevm s1")
                saved = Saved((time.monotonic() - begin) * 1000, self._disk.stat().st_size)
                if refused:
                    raise Failed(f"QEMU refuses savevm: {refused.strip()}")
                qmp.execute("migrate-set-capabilities",
                            capabilities=[{"capability": "events", "state": True}])
                qmp.execute("migrate-set-parameters", max_bandwidth=UNLIMITED)
                begin = time.monotonic()
                # QEMU is done before the file is: what it wrote to is a pipe.
                part = self._stream.with_suffix(".part")
                qmp.execute("migrate",
                            uri=f"exec:cat > '{part}' && mv '{part}' '{self._stream}'")
                qmp.event("MIGRATION", status="completed")
                self._await_stream()
                migrated = Saved((time.monotonic() - begin) * 1000, self._stream.stat().st_size)
                qmp.close()
        return saved, migrated

    def restore(self):
        """
        A new QEMU with what migrate kept: milliseconds to its event RESUME, with which the guest
        runs on, from the command migrate-incoming and from the start of the process.
        """
        with tempfile.TemporaryDirectory() as folder:
            machine, path = self._machine(folder, "-incoming", "defer")
            with machine:
                begin = time.monotonic()
                machine.power_on()
                qmp = Qmp(path)
                command = time.monotonic()
                qmp.execute("migrate-incoming", uri=f"exec:cat '{self._stream}'")
                qmp.event("RESUME")
                end = time.monotonic()
                qmp.close()
        return (end - command) * 1000, (end - begin) * 1000
