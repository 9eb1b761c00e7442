# SPDX-License-Identifier: MIT
"""The machines that anew is tested on, and the QEMU command lines that make them."""

import fnmatch
import json
import shutil
from pathlib import Path
from typing import NamedTuple

from .errors import CouldNotRun

TOP = Path(__file__).resolve().parent.parent.parent
QEMU_10 = TOP / "build/qemu-10"
FIRMWARE_FOLDERS = (Path("/etc/qemu/firmware"), Path("/usr/share/qemu/firmware"))
# Not for us: what needs System Management Mode, or only starts what it trusts.
UNWANTED_FEATURES = {"requires-smm", "secure-boot", "enrolled-keys"}


class Model(NamedTuple):
    """A pinned machine: nothing of it depends on the computer that it is emulated on."""

    arch: str
    machine: str
    cpu: str
    about: str
    qemu_10: bool = False


# CX16 is hidden because QEMU 7.2 emulates it wrongly: Linux 6.12 panics or hangs in one boot of
# four. The devices that are off cost firmware time at start and are of no use here.
Q35 = "smm=off,sata=off,smbus=off,vmport=off"

MODELS = {
    "q35-svm": Model("x86_64", f"pc-q35-7.2,{Q35}", "EPYC-v1,+svm,+npt,-cx16",
                     "AMD CPU with SVM and nested paging"),
    "q35-svm-max": Model("x86_64", f"pc-q35-7.2,{Q35}", "max,-cx16",
                         "all that QEMU emulates, with SVM"),
    "q35-nosvm": Model("x86_64", f"pc-q35-7.2,{Q35}", "EPYC-v1,-svm,-cx16",
                       "the same without SVM: anew must refuse in words"),
    "q35-svm-10": Model("x86_64", f"pc-q35-10.0,{Q35}", "EPYC-v1,+svm,+npt",
                        "like q35-svm, under QEMU 10 (qemu-runner/fetch qemu-10)", True),
}
DEFAULT_MODEL = {"x86_64": "q35-svm"}


def model(name, arch):
    if name not in MODELS or MODELS[name].arch != arch:
        names = ", ".join(key for key, value in MODELS.items() if value.arch == arch)
        raise CouldNotRun(f"there is no machine {name!r} for {arch}; there are: {names}")
    return MODELS[name]


def _binary(chosen):
    """The first words of the command line."""
    name = f"qemu-system-{chosen.arch}"
    if chosen.qemu_10:
        binary = QEMU_10 / "usr/bin" / name
        if not binary.exists():
            raise CouldNotRun(f"there is no {binary}; get it with: qemu-runner/fetch qemu-10")
        # Some firmware images are in packages of their own, which only the machine's QEMU has.
        return [str(binary), "-L", str(QEMU_10 / "usr/share/qemu"), "-L", "/usr/share/qemu"]
    if not shutil.which(name):
        raise CouldNotRun(f"{name} is not on this machine; install the package qemu-system-x86")
    return [name]


def _suits(descriptor, chosen):
    targets = [target for target in descriptor.get("targets", ())
               if target.get("architecture") == chosen.arch]
    machine = chosen.machine.split(",")[0]
    patterns = [pattern for target in targets for pattern in target.get("machines", ())]
    return ("uefi" in descriptor.get("interface-types", ())
            and not UNWANTED_FEATURES & set(descriptor.get("features", ()))
            and descriptor.get("mapping", {}).get("device") == "flash"
            and any(fnmatch.fnmatchcase(machine, pattern) for pattern in patterns))


def find_firmware(chosen, folders=FIRMWARE_FOLDERS):
    """(code, variables) of a UEFI firmware that QEMU's descriptors offer for this machine."""
    by_name = {}
    for folder in reversed(folders):  # an earlier folder's file hides a later one's of that name
        for path in folder.glob("*.json"):
            by_name[path.name] = path
    for name in sorted(by_name):
        try:
            descriptor = json.loads(by_name[name].read_text(encoding="utf-8"))
            if not _suits(descriptor, chosen):
                continue
            mapping = descriptor["mapping"]
            code = Path(mapping["executable"]["filename"])
            variables = Path(mapping["nvram-template"]["filename"])
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            continue
        if code.is_file() and variables.is_file():
            return code, variables
    raise CouldNotRun(f"no UEFI firmware for {chosen.arch} is described in "
                      f"{' or '.join(map(str, folders))}; install the package ovmf")


def _escaped(path):
    """@path as an option's value: a comma would begin the next one."""
    return str(path).replace(",", ",,")


def command(chosen, folder, image, memory, icount=False, gdb=None):
    """
    QEMU's command line: the serial console on standard input and output. The firmware's variables
    are copied into @folder. @memory in MiB; @gdb is a TCP port where QEMU waits for a debugger.
    """
    binary = _binary(chosen)
    code, template = find_firmware(chosen)
    variables = Path(folder) / "firmware-variables.fd"
    shutil.copyfile(template, variables)
    words = [*binary,
             "-machine", chosen.machine, "-accel", "tcg", "-cpu", chosen.cpu, "-m", str(memory),
             "-nodefaults", "-no-user-config", "-no-reboot", "-display", "none",
             "-boot", "menu=on,splash-time=0",
             "-drive", f"if=pflash,format=raw,unit=0,readonly=on,file={_escaped(code)}",
             "-drive", f"if=pflash,format=raw,unit=1,file={_escaped(variables)}",
             "-drive", f"if=none,id=esp,format=raw,file={_escaped(image)}",
             "-device", "virtio-blk-pci,drive=esp,bootindex=0",
             "-device", "virtio-rng-pci",
             "-serial", "stdio"]
    if icount:
        words += ["-icount", "shift=0,sleep=off"]
    if gdb:
        words += ["-S", "-gdb", f"tcp:127.0.0.1:{gdb}"]
    return words
