# SPDX-License-Identifier: MIT
"""The command line of qemu-runner/run."""

import argparse
import shlex
import signal
import sys
from pathlib import Path

from . import console, qemu, script
from .arch import ARCHES, DEFAULT_ARCH
from .errors import CouldNotRun, RunnerError, report
from .machine import TOP, Machine

DEFAULT_TIMEOUT = 300.0
DEFAULT_GDB_PORT = 1234


def end_on_signals():
    """SIGTERM and SIGHUP end us like Ctrl-C: QEMU is killed, the terminal is put right."""
    def stop(number, _frame):
        raise SystemExit(128 + number)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)


def add_machine_options(parser):
    """The options that `run` and `story` share."""
    parser.add_argument("--arch", choices=ARCHES,
                        help=f"default: the machine's, or {DEFAULT_ARCH}")
    usual = " or ".join(arch.machine for arch in ARCHES.values())
    parser.add_argument("--machine", metavar="NAME", help="what to emulate: "
                        + ", ".join(qemu.MODELS) + f" (default: {usual})")
    parser.add_argument("--efi", metavar="FILE",
                        help="anew (default: build/ARCH/anew-ARCH.efi)")
    parser.add_argument("--cpus", metavar="N", type=int, default=1,
                        help="the machine's processors (default: 1)")
    parser.add_argument("--logs", metavar="DIR", help="where everything that was seen is kept "
                        "(default: a folder in build/logs)")


def _parser():
    parser = argparse.ArgumentParser(
        prog="run", description="Boot anew in QEMU: on this terminal, or judged by a script.",
        epilog="Exit status: 0 all was as the script says, 1 it was not, 2 nothing could be run. "
               "qemu-runner/README.md describes scripts.")
    add_machine_options(parser)
    parser.add_argument("--list-machines", action="store_true", help="say what can be emulated")
    guest = parser.add_argument_group("what runs on it (default: the demo guest)")
    guest.add_argument("--conf", metavar="FILE", help="an anew.conf; the files that it names are "
                       "looked up beside it")
    guest.add_argument("--file", metavar="PATH=FILE", action="append", default=[],
                       help="also put FILE on the disk as PATH")
    guest.add_argument("--kernel", metavar="FILE", help="in place of --conf, for a VM 'demo'")
    guest.add_argument("--initrd", metavar="FILE")
    guest.add_argument("--cmdline", metavar="TEXT")
    guest.add_argument("--memory", metavar="MIB", type=int)
    guest.add_argument("--vcpus", metavar="N", type=int, help="its virtual CPUs (default: 1)")
    judge = parser.add_argument_group("how it is judged")
    judge.add_argument("--script", metavar="FILE", help="what to do and to expect")
    judge.add_argument("--timeout", metavar="SECONDS", type=float,
                       help=f"for the whole script (default: {DEFAULT_TIMEOUT:g})")
    judge.add_argument("--no-start", action="store_true", help="don't insist that anew starts: "
                       "for machines on which it has to refuse")
    judge.add_argument("--quiet", action="store_true", help="don't name the steps of the script")
    debug = parser.add_argument_group("for developers")
    debug.add_argument("--gdb", metavar="PORT", type=int, nargs="?", const=DEFAULT_GDB_PORT,
                       help=f"wait for a debugger on that port (default: {DEFAULT_GDB_PORT})")
    debug.add_argument("--threads", choices=("multi", "single"), help="emulate each processor by a "
                       "thread of its own, or all by one (default: as QEMU does)")
    debug.add_argument("--icount", action="store_true",
                       help="count instructions for time: slow, and the same every time")
    return parser


def _files(parser, words):
    files = {}
    for word in words:
        path, equals, file = word.partition("=")
        if not equals or not path or not file:
            parser.error(f"--file {word}: write it as PATH=FILE")
        files[path] = file
    return files


def _machine(parser, options):
    arguments = {"arch": options.arch, "machine": options.machine, "efi": options.efi,
                 "cpus": options.cpus, "threads": options.threads, "icount": options.icount,
                 "gdb": options.gdb,
                 "files": _files(parser, options.file)}
    one_vm = {"kernel": options.kernel, "initrd": options.initrd, "cmdline": options.cmdline,
              "memory": options.memory, "vcpus": options.vcpus}
    given = [f"--{name}" for name, value in one_vm.items() if value is not None]
    if options.conf:
        if given:
            parser.error(f"{given[0]} does not go with --conf; write it into the file")
        try:
            arguments["conf"] = Path(options.conf).read_text(encoding="utf-8")
        except (OSError, UnicodeError) as error:
            raise CouldNotRun(f"can't read {options.conf}: {error}") from None
        arguments["folder"] = Path(options.conf).parent
    else:
        arguments.update({name: value for name, value in one_vm.items() if value is not None})
    name = Path(options.script or options.conf or "console").stem
    arguments["logs"] = options.logs or TOP / "build/logs" / name
    if options.script or not console.on_terminal():
        if not options.gdb or options.timeout:
            arguments["deadline"] = options.timeout or DEFAULT_TIMEOUT
    return Machine(**arguments)


def _read_script(path):
    try:
        return script.parse(Path(path).read_text(encoding="utf-8"), path)
    except (OSError, UnicodeError) as error:
        raise CouldNotRun(f"can't read {path}: {error}") from None


def _debugger(parser, options):
    """
    What to type to have a debugger stop at anew's entry. Where the firmware will load anew is seen
    in a run without a debugger: a machine that is started in the same way does the same.
    """
    words = ["gdb-multiarch", "-ex", "set confirm off", "-ex",
             f"target remote localhost:{options.gdb}"]
    # One that has to refuse says nothing of where it is.
    if not options.no_start:
        print("run: a first start, to see where the firmware loads anew", file=sys.stderr)
        with _machine(parser, argparse.Namespace(**{**vars(options), "gdb": None})) as machine:
            image = machine.start().get("image")
            elf = machine.efi.with_name("anew.elf")
        if not image:
            raise CouldNotRun(f"{machine.efi} does not say where it was loaded; build it again")
        words += ["-ex", f"add-symbol-file {elf} -o {image}", "-ex", "break anew_main",
                  "-ex", "continue"]
    return shlex.join(words)


def _run(parser, options):
    steps = _read_script(options.script) if options.script else None
    if options.gdb:
        print(f"run: QEMU waits for a debugger; in another terminal, in {TOP}, type:\n\n"
              f"    {_debugger(parser, options)}\n", file=sys.stderr)
    with _machine(parser, options) as machine:
        start = machine.power_on if options.no_start else machine.start
        if steps:
            start()
            script.execute(machine, steps, options.script, None if options.quiet else print)
            print(f"{options.script}: all {len(steps)} steps were as expected")
        elif console.on_terminal():
            print(console.HINT)
            machine.on_output = console.show
            start()
            console.interact(machine)
        else:
            machine.on_output = console.show
            start()
            machine.wait_off(options.timeout or DEFAULT_TIMEOUT)


def main(arguments=None):
    """The exit status."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.list_machines:
        for name, model in qemu.MODELS.items():
            print(f"{name:12} {model.arch:7} {model.about}")
        return 0
    end_on_signals()
    try:
        _run(parser, options)
    except RunnerError as error:
        report(error, lambda line: print(line, file=sys.stderr))
        return error.status
    except KeyboardInterrupt:
        print("run: stopped", file=sys.stderr)
        return 2
    return 0
