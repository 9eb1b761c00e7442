# SPDX-License-Identifier: MIT
"""What a bench gives: figures; and what several of its sources need."""

import re
from typing import NamedTuple, Optional

PAGE_KIB = 4


class Figure(NamedTuple):
    """One thing that was measured."""

    name: str
    value: float
    unit: str
    peer: Optional[str] = None
    peer_value: Optional[float] = None
    steady: bool = True  # the same in every run: worth a place in the baseline

    @property
    def ratio(self):
        """To the peer's."""
        return round(self.value / self.peer_value, 3) if self.peer_value else None


def stat(text, name):
    """The number that the monitor's `stats` has for @name."""
    return int(re.search(rf"^{re.escape(name)} +(\d+)\s*$", text, re.M).group(1))


def spread(counts):
    """By how much the largest is above the smallest, in percent."""
    return round((max(counts) / min(counts) - 1) * 100, 2)
