#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
Figures of anew, counted in executed instructions under QEMU's -icount, for every architecture that
is built: a table for people and build/bench.json, a list of {name, arch, value, unit, peer,
peer_value, ratio}, for programs. No pass or fail; what moved by more than 2 % against
tests/bench/baseline.json is said, and which bar of the design is missed.
"""

import argparse
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

TOP = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(TOP / "qemu-runner"))

# pylint: disable=wrong-import-position
from anew_runner import qemu
from anew_runner.errors import RunnerError, report
from anew_runner.machine import Machine
from figures import PAGE_KIB, Figure, spread, stat
from snapshots import CLONE_SIZES, CLONES, DISK_SIZES, Snapshots

HERE = Path(__file__).resolve().parent
BASELINE = HERE / "baseline.json"
RESULT = TOP / "build/bench.json"
LOGS = TOP / "build/logs"

RESTORE_SIZES = (16, 256, 1024)  # MiB
ROUNDS = 5  # of what is not repeated by the payload itself; the least counts
MEMORY = 256  # of the guest whose boot is measured, MiB
MOVED = 0.02


class Arch(NamedTuple):
    """What is measured how on one architecture."""

    suffix: str  # of payload kernels
    compiler: str  # for the guest's user space
    console: str  # Linux's name of the guest's console
    tick: int  # instructions in a tick of the counter, which counts virtual time
    # Of a restore or clone, of which the least counts. In others the firmware ticks, and where the
    # processor has no generator it waits for the emulator's host to deliver random bytes: most are
    # 10 us (10,000 instructions) longer for it, and some more.
    rounds: int
    firmware: bool  # whether plain QEMU starts a kernel through firmware
    kvm: dict  # KVM's figures on the same emulated machine, in instructions
    bars: dict  # of the design, in the figure's unit; PEER_BARS apart


# KVM: Linux 6.12 under QEMU 7.2 -icount, EPYC and cortex-a57 (no VHE), mitigations off; a restore's
# peer is the making of a VM, of a copied page the first write to memory shared by fork.
ARCHES = {
    "x86_64": Arch("elf", "gcc", "ttyS0", 1, 6, True,
                   {"cpuid": 2228, "hypercall": 2433, "msr": 2339, "eoi": 3445, "self-ipi": 9450,
                    "cow-break": 9400, "restore": 343000},
                   {"cpuid": 300, "hypercall": 200, "eoi": 300, "self-ipi": 1200}),
    "arm64": Arch("img", "aarch64-linux-gnu-gcc", "ttyAMA0", 16, 16, False,
                  {"hypercall": 3353, "restore": 279000},
                  {"hypercall": 150, "register": 200, "mmio": 250}),
}
BARS = {"image": 256 << 10, "memory-own": 1024, "cow-break": 1300, "restore-spread": 1.0,
        "clone-pages": 10, "clone-pages-spread": 1.0, "clone-memory": 5 << 10,
        **{f"restore-{size}M": 30000 for size in RESTORE_SIZES},
        **{f"clone-{number}-{size}M": 30000 for number in (1, CLONES) for size in CLONE_SIZES},
        **{f"clone-{number}-spread": 1.0 for number in (1, CLONES)},
        **{f"disk-overhead-{size}M": 1.01 for size, _ in DISK_SIZES},
        "chain-restore-pages": 0, "chain-restore-own": 0, "chain-clone-pages": 0,
        "chain-clone-own": 0, "chain-failed": 0}
# Times the peer's, measured in the same run.
PEER_BARS = {"boot": 1.1, **{f"disk-lazy-{size}M": 1 for size, _ in DISK_SIZES}}


class Bench:
    """The figures of one architecture, each source of them a method."""

    def __init__(self, name):
        self.name = name
        self.arch = ARCHES[name]
        self.build = TOP / "build" / name
        self.efi = self.build / f"anew-{name}.efi"

    def sources(self):
        """By name, in the order of the table."""
        snapshots = Snapshots(self)
        return {"image": self.image, "memory": self.memory, "exits": self.round_trips,
                "copies": self.copies, "restore": self.restores, "clone": snapshots.clone,
                "clone-memory": snapshots.clone_memory, "disk": snapshots.disk,
                "chain": snapshots.chain, "boot": self.boot}

    # ---- machines ----

    def logs(self, what):
        """A folder for the logs of the machine that measures @what."""
        return LOGS / f"bench-{self.name}-{what}"

    def payload(self, name):
        """The path of a payload kernel."""
        return self.build / "payload" / f"{name}.{self.arch.suffix}"

    def machine(self, what, memory=32, icount=True, kernel=None):
        """A machine whose only VM is the payload @kernel, without one no VM at all."""
        conf, files = "", {}
        if kernel:
            conf = f"[vm {kernel}]\nmemory = {memory}M\nkernel = {kernel}\ntestdev = on\n"
            files = {kernel: self.payload(kernel)}
        return Machine(arch=self.name, conf=conf, files=files, logs=self.logs(what), icount=icount,
                       ram=max(2048, 3 * memory))

    def instructions(self, name, count, peer=None):
        """The figure @name of so many instructions; KVM's is that of @peer, or of the same name."""
        value = self.arch.kvm.get(peer or name)
        return Figure(name, count, "instructions", value and "KVM", value)

    # ---- sources ----

    def image(self):
        """the EFI application's size"""
        yield Figure("image", self.efi.stat().st_size, "bytes")

    def memory(self):
        """memory that anew takes: for itself before the first VM, and for a VM beside its RAM"""
        own = []
        tables = 0
        for kernel in (None, "busy"):
            with self.machine("memory", icount=False, kernel=kernel) as machine:
                machine.start()
                if kernel:
                    machine.expect(r"payload: busy", 60)
                text = machine.monitor("stats")
            own.append(stat(text, "anew's own pages"))
            tables = stat(text, "table pages") if kernel else 0
        yield Figure("memory-own", own[0] * PAGE_KIB, "KiB")
        yield Figure("memory-per-VM", (own[1] - own[0] + tables) * PAGE_KIB, "KiB")

    def round_trips(self):
        """what exits cost, by the payload that measures itself"""
        with self.machine("exits", kernel="bench") as machine:
            machine.start()
            machine.expect(r"payload: result 0", 300)
            text = machine.guest_output()
        for name, count in re.findall(r"^bench: ([\w-]+) (\d+)$", text, re.M):
            if name not in ("before", "loop"):
                yield self.instructions(name, int(count))

    def copies(self):
        """the first write to a page that a snapshot shares"""
        counts = []
        with self.machine("copies", kernel="cow") as machine:
            machine.start()
            for _ in range(ROUNDS):
                machine.expect(r"cow: ready", 300)
                machine.monitor("snapshot cow s1 --memory")
                machine.guest()
                counts.append(int(machine.expect(r"cow: frozen (\d+)\n", 60).group(1)))
                machine.monitor("delete s1")
        yield self.instructions("cow-break", min(counts))

    def restores(self):
        """a restore in memory, from the command to the guest's first instruction"""
        least = []
        for size in RESTORE_SIZES:
            with self.machine(f"restore-{size}M", size, kernel="busy") as machine:
                machine.start()
                machine.expect(r"payload: busy", 300)
                machine.monitor("snapshot busy s1 --memory", 300)
                counts = []
                for _ in range(self.arch.rounds):
                    machine.monitor("restore s1 --intent rollback", 300)
                    counts.append(machine.event("restored", 60)["counter"] * self.arch.tick)
            least.append(min(counts))
            yield self.instructions(f"restore-{size}M", least[-1], "restore")
        yield Figure("restore-spread", spread(least), "%")

    def boot(self):
        """the demo guest's kernel, from its first instruction to its init, and under plain QEMU"""
        kernel = TOP / "build/guest" / self.name / "vmlinuz-6.12"
        initrd = self.initrd()
        # Without what differs from one boot to the next.
        cmdline = f"console={self.arch.console} nokaslr rdinit=/bench-init"
        with Machine(arch=self.name, kernel=kernel, initrd=initrd, cmdline=cmdline, memory=MEMORY,
                     logs=self.logs("boot"), icount=True) as machine:
            machine.start()
            # The guest's counter began when its VM was started.
            count = self.init_at(machine.expect, 300)
            machine.event("vm", 60, vm="demo", state="off")
            text = machine.monitor("stats")
        plain = self.plain("boot-plain", kernel, initrd, cmdline)
        yield Figure("boot", count, "instructions", "QEMU", plain - self.firmware(initrd, cmdline))
        exits = text[:text.index("all exits")]
        for reason, number in re.findall(r"^(\S.*?) +(\d+)\s*$", exits, re.M):
            yield Figure(f"boot-exits-{reason.lower().replace(' ', '-').replace('/', '-')}",
                         int(number), "exits")
        yield Figure("boot-exits", stat(text, "all exits"), "exits")

    # ---- the boot that is measured ----

    def initrd(self):
        """The demo guest's initrd with the init that says how far the counter is."""
        work = self.logs("initrd")
        work.mkdir(parents=True, exist_ok=True)
        init = work / "bench-init"
        subprocess.run([self.arch.compiler, "-std=gnu11", "-D_GNU_SOURCE", "-Os", "-Wall", "-Wextra",
                        "-Werror", "-static", "-s", "-Wl,--build-id=none", "-o", init,
                        HERE / "init.c"], check=True)
        archive = subprocess.run(["cpio", "--quiet", "--reproducible", "--create", "--format=newc",
                                  "--owner=0:0"], input=b"bench-init\n", cwd=work, check=True,
                                 stdout=subprocess.PIPE).stdout
        # The kernel takes one archive after the other, the first of which has to be padded.
        initrd = work / "initrd"
        initrd.write_bytes(archive + (TOP / "build/guest" / self.name / "initrd").read_bytes())
        return initrd

    @staticmethod
    def init_at(expect, timeout):
        """What init says, in instructions."""
        found = expect(r"bench: init at (\d+) of (\d+) Hz\n", timeout)
        # An instruction takes a nanosecond.
        return int(found.group(1)) * 1000000000 // int(found.group(2))

    def plain(self, what, kernel, initrd, cmdline):
        """The same machine without anew: instructions since it was turned on, as init says."""
        command = self.plain_command(what, kernel, initrd, cmdline)
        with Machine(arch=self.name, command=command, logs=self.logs(what)) as machine:
            machine.power_on()
            return self.init_at(machine.expect_monitor, 300)

    def firmware(self, initrd, cmdline):
        """Instructions of plain QEMU's firmware before it starts a kernel."""
        if not self.arch.firmware:
            return 0
        work = self.logs("firmware")
        work.mkdir(parents=True, exist_ok=True)
        # QEMU starts only 32-bit files by multiboot, whatever they go on to.
        subprocess.run(["objcopy", "-O", "elf32-i386", self.payload("bench"), work / "bench"],
                       check=True)
        command = self.plain_command("firmware", work / "bench", initrd, cmdline)
        command[command.index("-serial")] = "-debugcon"
        with Machine(arch=self.name, command=command, logs=work) as machine:
            machine.power_on()
            return int(machine.expect_monitor(r"bench: before (\d+)\n", 300).group(1))

    def plain_demo(self, what, memory):
        """QEMU's command line for the demo guest of @memory MiB without anew."""
        guest = TOP / "build/guest" / self.name
        return self.plain_command(what, guest / "vmlinuz-6.12", guest / "initrd",
                                  f"console={self.arch.console}", memory, icount=False)

    def plain_command(self, what, kernel, initrd, cmdline, memory=MEMORY, icount=True):
        """QEMU's command line for the machine of the figures, without anew, a disk, or devices."""
        folder = self.logs(what)
        folder.mkdir(parents=True, exist_ok=True)
        model = qemu.MODELS[Machine(arch=self.name).machine_name]
        words = iter(qemu.command(model, folder, "none", memory, icount))
        command = []
        for word in words:
            if word in ("-drive", "-device", "-boot"):
                next(words)
            else:
                command.append(word)
        return command + ["-kernel", str(kernel), "-initrd", str(initrd), "-append", cmdline]


# ---- the table ----

COLUMNS = f"{'anew':>10}{'peer':>10}{'x peer':>8}{'bar':>9}{'moved':>9}"


def bar_of(arch, figure):
    """What the design wants at most, None where it says nothing."""
    if figure.name in PEER_BARS:
        return round(PEER_BARS[figure.name] * figure.peer_value)
    return {**BARS, **ARCHES[arch].bars}.get(figure.name)


def moved(figure, before):
    """By how much the figure moved since the baseline, where it is worth saying."""
    if not before or abs(figure.value / before - 1) <= MOVED:
        return ""
    return f"{(figure.value / before - 1) * 100:+.1f} %"


def number(value, missed=False):
    """For a column."""
    if value is None:
        return "-"
    text = f"{value / 1e6:.0f} M" if value >= 100000000 else f"{value:,}"
    return text + ("!" if missed else "")


def cells(arch, figure, before):
    """The columns of one architecture."""
    if not figure:
        return f"{'-':>10}" + " " * (len(COLUMNS) - 10)
    bar = bar_of(arch, figure)
    return (f"{number(figure.value):>10}{number(figure.peer_value):>10}{figure.ratio or '-':>8}"
            f"{number(bar, bar is not None and figure.value > bar):>9}"
            f"{moved(figure, before.get((arch, figure.name))):>9}")


def table(results, before):
    """The lines of the table of @results, a dictionary from architecture to list of figures."""
    rows = []
    for figures in results.values():
        at = 0
        for row in ((figure.name, figure.unit) for figure in figures):
            if row not in rows:
                rows.insert(at, row)
            at = rows.index(row) + 1
    yield " " * 42 + "".join(f"{arch:^{len(COLUMNS) + 3}}" for arch in results).rstrip()
    yield f"{'figure':<29}{'unit':<13}" + "".join(" | " + COLUMNS for _ in results)
    for name, unit in rows:
        line = f"{name:<29}{unit:<13}"
        for arch, figures in results.items():
            figure = next((figure for figure in figures if figure.name == name), None)
            line += " | " + cells(arch, figure, before)
        yield line.rstrip()
    yield ""
    yield ("peer: KVM on the same emulated machine; for boot, plain `qemu -kernel` in this run; "
           "for disk-…, what plain QEMU takes for the same guest by the means named, in this run.")
    yield "bar: at most; ! where it is missed."
    yield f"moved: since tests/bench/baseline.json, where it is more than {MOVED * 100:.0f} %."


# ---- all of it ----


def measure(name, only):
    """(figures, how many sources failed) of an architecture; of the sources @only, if any."""
    figures, failed = [], 0
    for source_name, source in Bench(name).sources().items():
        if only and source_name not in only:
            continue
        print(f"{name}: {source.__doc__}", flush=True)
        try:
            for figure in source():
                figures.append(figure)
        except RunnerError as error:
            report(error, print)
            failed += 1
    return figures, failed


def rows_of(results):
    """What programs get."""
    return [{"name": figure.name, "arch": arch, "value": figure.value, "unit": figure.unit,
             "peer": figure.peer, "peer_value": figure.peer_value, "ratio": figure.ratio}
            for arch, figures in results.items() for figure in figures]


def save(old, results, only):
    """Makes the steady figures of @results the baseline, and keeps of the @old what is not anew."""
    rows = rows_of({arch: [figure for figure in figures if figure.steady]
                    for arch, figures in results.items()})
    new = {(row["arch"], row["name"]) for row in rows}
    kept = [row for row in old if row["arch"] not in results
            or (only and (row["arch"], row["name"]) not in new)]
    BASELINE.write_text(json.dumps(rows + kept, indent=1) + "\n")


def main():
    """Measures, prints, compares. The exit status: 1 where something could not be measured."""
    parser = argparse.ArgumentParser(description=__doc__.strip())
    parser.add_argument("--arch", choices=ARCHES, action="append",
                        help="only this one (default: every one that is built)")
    parser.add_argument("--save", action="store_true",
                        help="make the figures of this run the baseline")
    names = list(Bench("x86_64").sources())
    parser.add_argument("--only", metavar="SOURCE[,SOURCE...]", type=lambda text: text.split(","),
                        default=[], help=f"of these sources alone: {', '.join(names)}")
    options = parser.parse_args()
    if unknown := set(options.only) - set(names):
        parser.error(f"no source of figures: {', '.join(sorted(unknown))}; there are "
                     f"{', '.join(names)}")
    results, left_out, failed = {}, [], 0
    for name in options.arch or ARCHES:
        efi = Bench(name).efi
        if efi.exists():
            results[name], failures = measure(name, options.only)
            failed += failures
        else:
            left_out.append(f"{name} is left out: there is no {efi.relative_to(TOP)}; "
                            f"make build payloads guests ARCH={name}")
            print(left_out[-1], flush=True)
    old = json.loads(BASELINE.read_text()) if BASELINE.exists() else []
    print()
    for line in table(results, {(row["arch"], row["name"]): row["value"] for row in old}):
        print(line)
    for line in left_out:
        print(line)
    rows = rows_of(results)
    RESULT.write_text(json.dumps(rows, indent=1) + "\n")
    if options.save and not failed:
        save(old, results, options.only)
    if failed:
        print(f"{failed} of the above could not be measured")
    return 1 if failed or not results else 0


if __name__ == "__main__":
    sys.exit(main())
