#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
Runs the system tests of one architecture: run.py ARCH. With SLOW set in the environment those that
take long, without it all others. The exit status: 0 where all passed.
"""

import os
import sys
import unittest
from pathlib import Path


def tests_in(suite):
    """The single tests of a suite."""
    for test in suite:
        if isinstance(test, unittest.TestSuite):
            yield from tests_in(test)
        else:
            yield test


def is_slow(test):
    """Whether support.slow() has marked it."""
    return getattr(getattr(test, test._testMethodName, None), "slow", False)


def main():
    """All that is there, but what is another architecture's; what can't be loaded is everyone's."""
    found = unittest.defaultTestLoader.discover(str(Path(__file__).resolve().parent))
    wanted = [test for test in tests_in(found)
              if getattr(test, "arch", sys.argv[1]) == sys.argv[1]]
    slow = [test for test in wanted if is_slow(test)]
    if os.environ.get("SLOW"):
        wanted = slow
    else:
        wanted = [test for test in wanted if not is_slow(test)]
        print(f"{len(slow)} tests that take long are left to make test-slow", flush=True)
    wanted = unittest.TestSuite(wanted)
    return 0 if unittest.TextTestRunner(verbosity=2).run(wanted).wasSuccessful() else 1


if __name__ == "__main__":
    sys.exit(main())
