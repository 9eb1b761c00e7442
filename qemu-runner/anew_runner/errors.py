# SPDX-License-Identifier: MIT
"""What can go wrong, in the two kinds that the exit status tells apart."""

SHOWN_LINES = 30


class RunnerError(Exception):
    """The text says what happened and what to do next; `seen` is what came instead."""

    status = 1

    def __init__(self, text, seen=""):
        super().__init__(text)
        self.seen = seen

    def last_lines(self):
        return self.seen.rstrip("\n").split("\n")[-SHOWN_LINES:] if self.seen.strip() else []


class Failed(RunnerError):
    """anew or its guest did not do what was expected."""

    status = 1


class CouldNotRun(RunnerError):
    """Nothing was tested: no QEMU, no firmware, a wrong script, or anew never started."""

    status = 2


def report(error, write):
    """Writes @error for a person, a line at a time."""
    write(str(error))
    lines = error.last_lines()
    if lines:
        write(f"--- the last {len(lines)} lines of what was seen instead ---")
        for line in lines:
            write(line)
        write("---")
