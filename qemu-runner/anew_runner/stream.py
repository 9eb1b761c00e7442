# SPDX-License-Identifier: MIT
"""Takes anew's serial console apart into events, the guests' output and the monitor's.

Bytes from 0x1e to the next newline are one event, a JSON object. Everything else is output: of the
guest that the last event `focus` named, of the monitor while that names none.
"""

import codecs
import json
from typing import NamedTuple, Optional

MARK = 0x1E
EVENT_MAX = 65536


class Event(NamedTuple):
    """One event; @data has at least the key `event`."""

    data: dict


class Output(NamedTuple):
    """Text of the guest @vm, or of the monitor (and of the firmware) where @vm is None."""

    vm: Optional[str]
    text: str


class Malformed(NamedTuple):
    """Something between 0x1e and a newline that is no event."""

    text: str


class Demux:
    """Feed it bytes as they come, in pieces of any size."""

    def __init__(self):
        self.focus = None
        self._event = None  # the bytes of a begun event
        self._decoder = self._new_decoder()

    @staticmethod
    def _new_decoder():
        return codecs.getincrementaldecoder("utf-8")(errors="replace")

    def feed(self, data):
        """The list of Event, Output and Malformed that @data completes."""
        items = []
        while data:
            if self._event is None:
                before, mark, data = data.partition(bytes([MARK]))
                text = self._decoder.decode(before)
                if text:
                    items.append(Output(self.focus, text))
                if mark:
                    self._event = bytearray()
            else:
                before, newline, data = data.partition(b"\n")
                self._event += before
                if newline or len(self._event) > EVENT_MAX:
                    items.append(self._finish())
        return items

    def _finish(self):
        raw, self._event = bytes(self._event), None
        text = raw.decode("utf-8", errors="replace").strip(" \t\r")
        try:
            data = json.loads(text)
        except ValueError:
            return Malformed(text)
        if not isinstance(data, dict) or not isinstance(data.get("event"), str):
            return Malformed(text)
        if data["event"] == "focus":
            vm = data.get("vm")
            if vm is not None and not isinstance(vm, str):
                return Malformed(text)
            if vm != self.focus:
                # A character that one guest began is not finished by another.
                self._decoder = self._new_decoder()
            self.focus = vm
        return Event(data)
