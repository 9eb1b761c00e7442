# SPDX-License-Identifier: MIT
"""A person at the console: the terminal is connected to the machine, events are left out."""

import os
import select
import sys
import termios
import tty

from .errors import Failed

LEAVE = b"\x1c"  # Ctrl-\
HINT = "Ctrl-] changes between guest and monitor, Ctrl-\\ ends it all."


def on_terminal():
    return sys.stdin.isatty() and sys.stdout.isatty()


def show(item):
    """Writes a piece of Output to the terminal, or wherever our output goes."""
    try:
        view = memoryview(item.text.encode("utf-8", errors="replace"))
        while view:
            view = view[os.write(sys.stdout.fileno(), view):]
    except OSError:
        pass  # nobody looks any more


def interact(machine):
    """Connects the terminal until the person leaves or QEMU ends."""
    terminal = sys.stdin.fileno()
    before = termios.tcgetattr(terminal)
    sys.stdout.flush()
    machine.on_output = show
    try:
        tty.setraw(terminal)
        while machine.running():
            if not select.select([terminal], [], [], 0.25)[0]:
                continue
            data = os.read(terminal, 1024)
            before_leave, leave, _ = data.partition(LEAVE)
            if before_leave:
                machine.send(before_leave)
            if leave or not data:
                break
    except Failed:
        pass  # QEMU ended between the question and the typing
    finally:
        termios.tcsetattr(terminal, termios.TCSADRAIN, before)
        machine.on_output = None
    print("\r\nThe machine is off." if not machine.running() else "\r\nLeaving.", flush=True)
