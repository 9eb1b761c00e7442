# SPDX-License-Identifier: MIT
"""
A machine's screen and keyboard, as a person has them. Text is read off the picture: the screen's
own characters are learnt from a line that was typed and so is known.
"""

import time

# A cell of the firmware's console: UEFI 2.10, section 34.3.
WIDTH, HEIGHT = 8, 19
KEYS = {" ": "spc", "\n": "ret", "-": "minus", "=": "equal", "/": "slash", ".": "dot"}
ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789-./="


class Screen:
    """The screen and the keyboard of @machine, which was made with `screen` and `qmp`."""

    def __init__(self, machine):
        self._machine = machine
        self._glyphs = {}

    def press(self, *keys):
        """Holds keys down together, by QEMU's names, and lets go."""
        self._machine.qmp("send-key", keys=[{"type": "qcode", "data": key} for key in keys],
                          **{"hold-time": 30})
        time.sleep(0.1)

    def type(self, text):
        """One key after the other."""
        for char in text:
            self.press(KEYS.get(char, char))

    def picture(self, path):
        """The screen as rows of cells: the pixels of each that aren't background, as a number."""
        self._machine.qmp("screendump", filename=str(path))
        data = path.read_bytes()
        magic, width, height, _ = data.split(maxsplit=4)[:4]
        assert magic == b"P6"
        width, height = int(width), int(height)
        pixels = data[-3 * width * height:]
        lit = [bool(any(pixels[i:i + 3])) for i in range(0, len(pixels), 3)]
        # The console is in the middle of what is left over.
        left, top = width % WIDTH // 2, height % HEIGHT // 2
        rows = []
        for y in range(top, height - HEIGHT + 1, HEIGHT):
            rows.append([tuple(tuple(lit[(y + dy) * width + x:(y + dy) * width + x + WIDTH])
                               for dy in range(HEIGHT))
                         for x in range(left, width - WIDTH + 1, WIDTH)])
        return rows

    def learn(self, path):
        """The characters of ALPHABET, which was typed last: the row that has that many different."""
        for row in self.picture(path):
            cells = [cell for cell in row if any(map(any, cell))]
            tail = cells[-len(ALPHABET) - 1:]  # the cursor comes last
            for known in (tail[:-1], tail[1:]):
                if len(known) == len(ALPHABET) == len(set(known)):
                    self._glyphs.update(zip(known, ALPHABET))
        return bool(self._glyphs)

    def text(self, path):
        """What is on the screen; ? for what was not learnt."""
        return "\n".join("".join(self._glyphs.get(cell, "?") if any(map(any, cell)) else " "
                                 for cell in row).rstrip() for row in self.picture(path))
