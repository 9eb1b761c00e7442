#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
Figures of anew, counted in executed instructions under QEMU's -icount: a table for people and
build/bench.json, a list of {name, value, unit, peer, peer_value, ratio}, for programs. No pass or
fail; what moved by more than 2 % against tests/bench/baseline.json is said. `--save` makes the
figures of this run the baseline.
"""

import json
import sys
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(TOP / "qemu-runner"))

# pylint: disable=wrong-import-position
from anew_runner.machine import Machine

BASELINE = TOP / "tests/bench/baseline.json"
RESULT = TOP / "build/bench.json"
LOGS = TOP / "build/logs"
EFI = TOP / "build/x86_64/anew-x86_64.efi"
PAYLOAD = TOP / "build/x86_64/payload/bench.elf"

# KVM's figures on the same emulated machine: Linux 6.12, QEMU 7.2, -cpu EPYC, -icount.
PEERS = {"cpuid": 2228, "hypercall": 2433, "msr": 2339, "eoi": 3445, "self-ipi": 9450,
         "restore": 343000}
RESTORE_SIZES = (16, 256, 1024)


def round_trips():
    """What one exit costs, by the payload that measures itself."""
    conf = "[vm bench]\nmemory = 32M\nkernel = bench.elf\ntestdev = on\n"
    with Machine(conf=conf, files={"bench.elf": PAYLOAD}, logs=LOGS / "bench-exits",
                 icount=True) as machine:
        machine.start()
        machine.expect(r"payload: result 0", 300)
        for line in machine.guest_output().splitlines():
            words = line.split()
            if words[:1] == ["bench:"] and words[1] != "loop":
                yield words[1], int(words[2]), "instructions", PEERS.get(words[1])


def restores():
    """From the command to the first instruction of the restored guest, for guests of each size."""
    for size in RESTORE_SIZES:
        conf = f"[vm busy]\nmemory = {size}M\nkernel = busy.elf\ntestdev = on\n"
        with Machine(conf=conf, files={"busy.elf": PAYLOAD.with_name("busy.elf")}, ram=3072,
                     logs=LOGS / f"bench-restore-{size}", icount=True) as machine:
            machine.start()
            machine.expect(r"payload: busy", 300)
            machine.monitor("snapshot busy s1", 300)
            counts = []
            for _ in range(3):
                machine.monitor("restore s1 --intent rollback", 300)
                counts.append(machine.event("restored", 60)["counter"])
            yield f"restore-{size}M", min(counts), "instructions", PEERS["restore"]


def main():
    """Measures, prints, compares."""
    figures = [("image", EFI.stat().st_size, "bytes", None)]
    for source in (round_trips, restores):
        print(f"measuring: {source.__doc__.strip()}", flush=True)
        figures += source()
    before = {}
    if BASELINE.exists():
        before = {row["name"]: row["value"] for row in json.loads(BASELINE.read_text())}
    rows = []
    print(f"\n{'figure':<18}{'anew':>12} {'unit':<14}{'KVM':>10}{'ratio':>8}  since the baseline")
    for name, value, unit, peer in figures:
        ratio = round(value / peer, 3) if peer else None
        rows.append({"name": name, "value": value, "unit": unit, "peer": "KVM" if peer else None,
                     "peer_value": peer, "ratio": ratio})
        moved = ""
        if name in before and abs(value / before[name] - 1) > 0.02:
            moved = f"{(value / before[name] - 1) * 100:+.1f} % (was {before[name]})"
        print(f"{name:<18}{value:>12,} {unit:<14}{peer or '-':>10}{ratio or '-':>8}  {moved}")
    RESULT.write_text(json.dumps(rows, indent=1) + "\n")
    if "--save" in sys.argv:
        BASELINE.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
