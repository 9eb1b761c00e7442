# SPDX-License-Identifier: MIT
"""Scripts: one step a line. README.md describes the language."""

import re
import shlex
from typing import NamedTuple

from .errors import CouldNotRun, RunnerError

DEFAULT_TIMEOUT = 30.0
SECONDS = re.compile(r"(\d+(?:\.\d+)?)\s+(.*)", re.S)

VERBS = ("guest", "monitor", "expect", "expect-monitor", "event", "kill", "start")


class Step(NamedTuple):
    """One line of a script, understood."""

    line: int
    text: str
    verb: str
    argument: object = None  # text to type, compiled regular expression, or name of an event
    timeout: float = DEFAULT_TIMEOUT
    match: tuple = ()  # pairs of key and value that an event must have


def _timeout(rest):
    match = SECONDS.match(rest)
    return (float(match.group(1)), match.group(2)) if match else (DEFAULT_TIMEOUT, rest)


def parse_line(number, line):
    """The Step of @line, or None for an empty line or a comment. ValueError says what is wrong."""
    text = line.strip()
    if not text or text.startswith("#"):
        return None
    verb, _, rest = text.partition(" ")
    rest = rest.strip()
    if verb not in VERBS:
        raise ValueError(f"there is no verb {verb!r}; there are: {', '.join(VERBS)}")
    if verb in ("kill", "start"):
        if rest:
            raise ValueError(f"{verb!r} takes nothing, but got {rest!r}")
        return Step(number, text, verb)
    if verb == "guest":
        return Step(number, text, verb, rest)
    if not rest:
        raise ValueError(f"{verb!r} needs something after it")
    if verb == "monitor":
        return Step(number, text, verb, rest)
    timeout, rest = _timeout(rest)
    if verb == "event":
        words = shlex.split(rest)
        pairs = tuple(tuple(word.split("=", 1)) for word in words[1:])
        wrong = [pair[0] for pair in pairs if len(pair) != 2]
        if wrong:
            raise ValueError(f"{wrong[0]!r} is no key=value")
        return Step(number, text, verb, words[0], timeout, pairs)
    try:
        pattern = re.compile(rest, re.M)
    except re.error as error:
        raise ValueError(f"the regular expression {rest!r} is wrong: {error}") from None
    return Step(number, text, verb, pattern, timeout)


def parse(text, name="script"):
    """The Steps of a whole script. CouldNotRun names the line that is wrong."""
    steps = []
    for number, line in enumerate(text.splitlines(), 1):
        try:
            step = parse_line(number, line)
        except ValueError as error:
            raise CouldNotRun(f"{name}:{number}: {error}") from None
        if step:
            steps.append(step)
    if not steps:
        raise CouldNotRun(f"{name}: there is nothing in it to do")
    return steps


def execute(machine, steps, name="script", write=None):
    """Runs @steps on the started @machine; the error of a failing step names its line."""
    for step in steps:
        if write:
            write(f"{name}:{step.line}: {step.text}")
        try:
            _step(machine, step)
        except RunnerError as error:
            raise type(error)(f"{name}:{step.line}: {step.text}\n{error}", error.seen) from None


def _step(machine, step):
    if step.verb == "guest":
        machine.guest(step.argument)
    elif step.verb == "monitor":
        machine.monitor(step.argument)
    elif step.verb == "expect":
        machine.expect(step.argument, step.timeout)
    elif step.verb == "expect-monitor":
        machine.expect_monitor(step.argument, step.timeout)
    elif step.verb == "event":
        machine.event(step.argument, step.timeout, **dict(step.match))
    elif step.verb == "kill":
        machine.kill()
    elif step.verb == "start":
        machine.start()
