# SPDX-License-Identifier: MIT
"""What a bench measures of snapshots: clones, files on the volume, and that nothing gets lost."""

import struct
import subprocess
import time

from anew_runner.errors import CouldNotRun, Failed
from anew_runner.machine import Machine
from figures import PAGE_KIB, Figure, spread, stat
from plain import Plain

PAGE = PAGE_KIB * 1024
CLONE_SIZES = (16, 256, 1024)  # MiB
CLONES = 8
IDLE_SECONDS = 20
# MiB of memory, and of it what is filled: a file of the guest's root, which takes half of the
# memory at most.
DISK_SIZES = ((128, 0), (512, 160), (2048, 800))
RESTORES = 3  # each in a machine that was just started; the least counts
RANDOM = 4  # MiB that the guest draws, and fills its memory with copies of
CYCLES = 1000
READY = r"anew-demo: ready"
SECONDS = 600  # that anything of this may take


def own_pages(text):
    """What `stats` says that a VM has for itself."""
    return stat(text, "private pages") + stat(text, "table pages")


def used_pages(text):
    """What `stats` says that all guests and snapshots have."""
    return stat(text, "guest pages") - stat(text, "free guest pages")


def command(machine, text):
    """Has the monitor do @text, which it must not refuse; returns what it said."""
    said = machine.monitor(text, SECONDS)
    if "error:" in said:
        raise Failed(f"the monitor refuses {text!r}", said)
    return said


def fill(send, expect, mib):
    """Has the demo guest keep @mib MiB of pages that are not zeros."""
    expect(READY, SECONDS)
    if not mib:
        return
    send(f"head -c {RANDOM << 20} /dev/urandom >/r; "
         f"for i in $(seq {mib // RANDOM}); do cat /r; done >/big; echo filled $?\r".encode())
    if expect(r"^filled (\d+)$", SECONDS).group(1) != "0":
        raise Failed(f"the demo guest can't fill {mib} MiB")


def restore_ms(machine, more=""):
    """A restore from the command to the guest's first instruction, by anew's own clock."""
    command(machine, "restore s1 --intent resume" + more)
    return round(machine.event("restored", SECONDS)["ns"] / 1000000)


def restore_cycle(machine):
    """A snapshot, which the guest is put back to, and which goes."""
    command(machine, "snapshot demo s1 --memory")
    command(machine, "restore s1 --intent rollback")
    machine.event("restored", SECONDS, snapshot="s1")
    command(machine, "delete s1")


def clone_cycle(machine):
    """A clone that comes and goes; the source is paused."""
    command(machine, "clone s0")
    machine.event("restored", SECONDS, vm="demo-1")
    command(machine, "end demo-1")


def at_rest(machine):
    """`stats` of the demo guest as it was in the snapshot s0, before it did anything since."""
    command(machine, "restore s0 --intent resume --paused")
    return command(machine, "stats demo")


def stored_size(logs, name):
    """
    (bytes, pages that are not zeros) of the snapshot @name on the disk of a machine that is off:
    hv/snapshot/FORMAT.md.
    """
    folder = logs / "snapshots"
    folder.mkdir(exist_ok=True)
    done = subprocess.run(["mcopy", "-n", "-o", "-i", f"{logs}/disk.img@@1M",
                           f"::snapshots/{name}~0.*", folder], check=False,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    paths = sorted(folder.iterdir(), key=lambda path: (path.suffix != ".snap", path.suffix))
    if done.returncode or not paths:
        raise CouldNotRun(f"snapshot {name} can't be copied from the disk: {done.stdout}")
    size = pages = at = 0
    for path in paths:
        with open(path, "rb") as file:
            while page := file.read(PAGE):
                if not size:
                    meta, _, state = struct.unpack_from("<III", page, 232)
                    first = 1 + sum((length + PAGE - 1) // PAGE for length in (meta, state))
                # Each chunk has a page of entries, and 255 pages.
                if at >= first and (at - first) % 256 and page.count(0) != len(page):
                    pages += 1
                at += 1
                size += len(page)
        path.unlink()
    return size, pages


class Snapshots:
    """The figures of snapshots of one architecture; @bench is what measures all others."""

    def __init__(self, bench):
        self.bench = bench

    # ---- clones ----

    def clone(self):
        """a clone, from the command to its first instruction, and its pages before that"""
        costs, pages = {1: [], CLONES: []}, []
        for size in CLONE_SIZES:
            with self.bench.machine(f"clone-{size}M", size, kernel="busy") as machine:
                machine.start()
                machine.expect(r"payload: busy", SECONDS)
                command(machine, "snapshot busy s1 --memory")
                # Nobody else is to be ready to run: a clone would wait for his time slice.
                command(machine, "pause busy")
                rounds = [self._clones(machine) for _ in range(self.bench.arch.rounds // 2)]
                for number, counts in costs.items():
                    counts.append(min(each[number - 1] for each in rounds))
                command(machine, "clone s1 --paused")
                pages.append(own_pages(command(machine, "stats busy-1")))
            for number, counts in costs.items():
                yield self.bench.instructions(f"clone-{number}-{size}M", counts[-1], "restore")
        for number, counts in costs.items():
            yield Figure(f"clone-{number}-spread", spread(counts), "%")
        yield Figure("clone-pages", max(pages), "pages")
        yield Figure("clone-pages-spread", spread(pages), "%")

    def _clones(self, machine):
        """Instructions of each of CLONES clones, one beside the other, which then end."""
        counts = []
        for number in range(1, CLONES + 1):
            command(machine, "clone s1")
            ticks = machine.event("restored", SECONDS, intent="clone")["counter"]
            command(machine, f"pause busy-{number}")
            counts.append(ticks * self.bench.arch.tick)
        for number in range(1, CLONES + 1):
            command(machine, f"end busy-{number}")
        return counts

    def clone_memory(self):
        """memory of a clone of the demo guest that has been idle for a while"""
        with Machine(arch=self.bench.name, logs=self.bench.logs("clone-memory")) as machine:
            machine.start()
            machine.expect(READY, SECONDS)
            command(machine, "snapshot demo s1 --memory")
            before = command(machine, "stats demo")
            command(machine, f"clone s1 {CLONES}")
            for number in range(1, CLONES + 1):
                machine.event("restored", SECONDS, vm=f"demo-{number}")
            time.sleep(IDLE_SECONDS)
            private = [own_pages(command(machine, f"stats demo-{number}"))
                       for number in range(1, CLONES + 1)]
            after = command(machine, "stats demo")
        own = stat(after, "anew's own pages") - stat(before, "anew's own pages")
        # The source's own copies aside.
        pool = (used_pages(after) - own_pages(after)) - (used_pages(before) - own_pages(before))
        for name, pages in (("clone-memory", sum(private)), ("clone-memory-pool", pool),
                            ("clone-memory-own", own)):
            yield Figure(name, round(pages * PAGE_KIB / CLONES), "KiB", steady=False)

    # ---- on the volume ----

    def disk(self):
        """snapshots on the volume, beside those of plain QEMU"""
        for memory, filled in DISK_SIZES:
            yield from self._disk(memory, filled)

    def _disk(self, memory, filled):
        what = f"disk-{memory}M"
        with Machine(arch=self.bench.name, memory=memory, ram=1024 + 2 * memory,
                     slack=64 + memory, logs=self.bench.logs(what)) as machine:
            machine.start()
            fill(machine.send, machine.expect, filled)
            machine.focus_monitor()
            begin = time.monotonic()
            command(machine, "snapshot demo s1")
            took = round((time.monotonic() - begin) * 1000)
            machine.kill()
            size, pages = stored_size(machine.logs, "s1")
            lazy = min(self._lazy_ms(machine) for _ in range(RESTORES))
            eager = restore_ms(machine)
        (machine.logs / "disk.img").unlink()
        what += "-plain"
        with Plain(self.bench.name, self.bench.plain_demo(what, memory),
                   self.bench.logs(what)) as plain:
            saved, migrated = plain.save(
                lambda machine: fill(machine.send, machine.expect_monitor, filled))
            incoming, started = map(min, zip(*(plain.restore() for _ in range(RESTORES))))
        print(f"  {memory} MiB: QEMU's -incoming with the start of its process: {started:.0f} ms")
        for peer, other in (("migrate", migrated), ("savevm", saved)):
            yield Figure(f"disk-take-{memory}M:{peer}", took, "ms", peer, round(other.ms),
                         False)
        for peer, other in (("migrate", migrated), ("savevm", saved)):
            yield Figure(f"disk-size-{memory}M:{peer}", size >> 10, "KiB", peer, other.bytes >> 10,
                         False)
        yield Figure(f"disk-overhead-{memory}M", round(size / (pages * PAGE), 4), "times",
                     steady=False)
        for name, ms in (("lazy", lazy), ("eager", eager)):
            yield Figure(f"disk-{name}-{memory}M", ms, "ms", "incoming", round(incoming), False)

    @staticmethod
    def _lazy_ms(machine):
        """Of an anew that was just started, which has read nothing yet."""
        machine.kill()
        machine.start()
        machine.expect(READY, SECONDS)
        return restore_ms(machine, " --lazy")

    # ---- again and again ----

    def chain(self):
        """the demo guest snapshotted, restored and cloned again and again"""
        with Machine(arch=self.bench.name, logs=self.bench.logs("chain")) as machine:
            machine.start()
            machine.expect(READY, SECONDS)
            # What a guest writes is kept in a ring of 64 KiB, which takes its pages as they are
            # needed: all of them now, as the guest's kernel writes a line for each new id.
            machine.guest("seq 20000; echo full $?")
            machine.expect(r"^full 0$", SECONDS)
            command(machine, "snapshot demo s0 --memory")
            for name, cycle in (("restore", restore_cycle), ("clone", clone_cycle)):
                before = at_rest(machine)
                machine.monitor("resume demo")
                begin = time.monotonic()
                for _ in range(CYCLES):
                    cycle(machine)
                took = (time.monotonic() - begin) * 1000 / CYCLES
                after = at_rest(machine)
                yield Figure(f"chain-{name}", round(took, 1), "ms", steady=False)
                yield Figure(f"chain-{name}-pages", used_pages(after) - used_pages(before), "pages")
                yield Figure(f"chain-{name}-own",
                             stat(after, "anew's own pages") - stat(before, "anew's own pages"),
                             "pages")
            failed = sum(event.get("state") == "failed" for event in machine.events)
            yield Figure("chain-failed", failed, "VMs")
