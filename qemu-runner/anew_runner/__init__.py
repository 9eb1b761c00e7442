# SPDX-License-Identifier: MIT
"""Starts anew in QEMU, drives its monitor and its guests, and judges what came back."""

from .errors import CouldNotRun, Failed, RunnerError
from .machine import Machine

__all__ = ["CouldNotRun", "Failed", "Machine", "RunnerError"]
