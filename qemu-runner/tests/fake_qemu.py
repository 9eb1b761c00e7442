#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Stands in for QEMU with anew on it: speaks the same stream, and nothing is emulated.

fake_qemu.py [MODE]: silent (no event ever), dies (at once), same-id (restores keep the id),
crash (the guest's VM fails when `crash` is typed, in every mode).
"""

import json
import os
import secrets
import sys

MODE = sys.argv[1] if len(sys.argv) > 1 else ""
FIRST_ID = "324e6eaf-d1d1-4bf6-bf41-b9bb6c91fb87 0x4bf6d1d1324e6eaf:0x87fb916cbbb941bf"


def write(text):
    # Piece by piece, so that reads end anywhere.
    data = text.replace("\n", "\r\n").encode()
    for start in range(0, len(data), 7):
        os.write(1, data[start:start + 7])


def event(name, /, **members):
    os.write(1, b"\x1e" + json.dumps({"event": name, **members}).encode() + b"\n")


class Fake:
    def __init__(self):
        self.focus = None
        self.id = FIRST_ID
        self.pending = ""  # written by the guest while the monitor has the console
        self.restores = 0

    def guest_write(self, text):
        if self.focus:
            write(text)
        else:
            self.pending += text

    def switch(self):
        self.focus = None if self.focus else "demo"
        event("focus", vm=self.focus)
        if self.focus:
            write(self.pending)
            self.pending = ""
        else:
            self.prompt()

    def prompt(self):
        write("anew> ")
        event("prompt")

    def guest_line(self, line):
        write(line + "\n")
        if line == "genid":
            write(self.id + "\n")
        elif line == "rnd":
            write(secrets.token_hex(16) + "\n")
        elif line == "crash":
            event("vm", vm="demo", state="failed", cause="triple fault")
            return
        elif line:
            write(f"sh: {line}: not found\n")
        write("demo# ")

    def monitor_line(self, line):
        write(line + "\n")
        words = line.split()
        if words[:1] == ["exit"]:
            sys.exit(0)
        if words[:1] == ["console"]:
            self.switch()
            return
        if words[:1] == ["snapshot"]:
            event("snapshot", vm=words[1], name=words[2], pages=1234, quiescent=True)
        elif words[:1] == ["restore"]:
            event("restored", vm="demo", name=words[1], intent="rollback")
            self.restores += 1
            if MODE != "same-id":
                raw = secrets.token_hex(16)
                self.id = (f"{raw[:8]}-{raw[8:12]}-{raw[12:16]}-{raw[16:20]}-{raw[20:]} "
                           f"0x{raw[:16]}:0x{raw[16:]}")
                self.guest_write("[    9.1] random: crng reseeded due to virtual machine fork\n")
        else:
            write(f"no such command: {words[0] if words else ''}\n")
        self.prompt()

    def run(self):
        write("BdsDxe: starting Boot0001\n")
        if MODE == "dies":
            sys.stderr.write("qemu: could not load firmware\n")
            sys.exit(1)
        if MODE != "silent":
            event("start", build="0.1", backend="fake", image="0x7df6b000")
            event("vm", vm="demo", state="running", cause="")
            self.switch()
            write("[    0.0] Linux version\nanew-demo: ready\ndemo# ")
        line = b""
        while True:
            data = os.read(0, 1)
            if not data:
                return
            if data == b"\x1d":
                self.switch()
            elif data == b"\r":
                text, line = line.decode(), b""
                if self.focus:
                    self.guest_line(text)
                else:
                    self.monitor_line(text)
            else:
                line += data


Fake().run()
