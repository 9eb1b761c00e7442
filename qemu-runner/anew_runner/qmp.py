# SPDX-License-Identifier: MIT
"""Commands for QEMU itself, by its own protocol (docs/interop/qmp-spec.txt in its sources)."""

import json
import socket
import time

from .errors import Failed

CONNECT_TIMEOUT = 10.0
ANSWER_TIMEOUT = 30.0


class Qmp:
    """A connection to the QEMU whose socket is at @path, which it may still have to make."""

    def __init__(self, path):
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(ANSWER_TIMEOUT)
        end = time.monotonic() + CONNECT_TIMEOUT
        while True:
            try:
                self._socket.connect(path)
                break
            except OSError as error:
                if time.monotonic() > end:
                    raise Failed(f"QEMU takes no commands at {path}: {error}") from None
                time.sleep(0.1)
        self._lines = self._socket.makefile("r", encoding="utf-8")
        self._lines.readline()  # who it is
        self.command("qmp_capabilities", {})

    def command(self, name, arguments):
        """What QEMU answers to the command @name. Failed where it refuses."""
        self._socket.sendall(json.dumps({"execute": name, "arguments": arguments}).encode() + b"\n")
        # Its events come in between.
        for line in self._lines:
            answer = json.loads(line)
            if "error" in answer:
                raise Failed(f"QEMU refuses {name}: {answer['error'].get('desc')}")
            if "return" in answer:
                return answer["return"]
        raise Failed(f"QEMU ended at {name}")

    def close(self):
        """Hangs up."""
        self._lines.close()
        self._socket.close()
