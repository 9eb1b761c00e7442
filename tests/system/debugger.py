# SPDX-License-Identifier: MIT
"""
A debugger's end of the wire, as small as the tests need it: GDB's remote serial protocol (GDB
manual, appendix E) to QEMU's stub.
"""

import socket
import subprocess
import time

# Where registers are in GDB's list of those of x86_64, each 8 bytes.
RDI, RIP = 5, 16


def free_port():
    """A TCP port that nobody uses now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def symbol(elf, name):
    """The address of function @name in the file @elf."""
    listing = subprocess.run(["nm", str(elf)], check=True, capture_output=True, text=True).stdout
    for line in listing.splitlines():
        words = line.split()
        if words[-1] == name:
            return int(words[0], 16)
    raise KeyError(f"{name} is not in {elf}")


class Debugger:
    """A machine that QEMU stopped for us, until go()."""

    def __init__(self, port, timeout=60):
        end = time.monotonic() + timeout
        while True:
            try:
                self._wire = socket.create_connection(("127.0.0.1", port), timeout)
                break
            except ConnectionRefusedError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.1)
        self._unread = b""

    def close(self):
        """The machine stays as it is."""
        self._wire.close()

    def _send(self, text):
        data = text.encode()
        self._wire.sendall(b"$" + data + b"#%02x" % (sum(data) % 256))

    def _packet(self):
        """The next packet's content."""
        while b"#" not in self._unread or len(self._unread.split(b"#", 1)[1]) < 2:
            data = self._wire.recv(4096)
            if not data:
                raise ConnectionError("QEMU closed the debugger's connection")
            self._unread += data
        content, rest = self._unread.split(b"#", 1)
        self._unread = rest[2:]
        self._wire.sendall(b"+")
        return content.split(b"$", 1)[1].decode()

    def _ask(self, text):
        self._send(text)
        answer = self._packet()
        if answer != "OK":
            raise RuntimeError(f"QEMU's answer to {text} is {answer!r}")

    def go(self):
        """Lets the machine run."""
        self._send("c")

    def stop(self):
        """Stops the machine that runs."""
        self._wire.sendall(b"\x03")
        self.wait()

    def wait(self):
        """Waits until the machine that runs has stopped, at a breakpoint."""
        answer = self._packet()
        if answer[:1] not in "TS":
            raise RuntimeError(f"QEMU reports {answer!r} instead of a stop")

    def set_breakpoint(self, address):
        """Stops the machine when it is to execute what is at @address."""
        self._ask(f"Z0,{address:x},1")

    def clear_breakpoint(self, address):
        """The same, no more."""
        self._ask(f"z0,{address:x},1")

    def set_register(self, number, value):
        """Gives the processor's register @number another value."""
        self._send("g")
        registers = self._packet()
        digits = 16
        self._ask("G" + registers[:number * digits] + value.to_bytes(8, "little").hex()
                  + registers[(number + 1) * digits:])
