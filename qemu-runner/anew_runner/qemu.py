# SPDX-License-Identifier: MIT
"""The machines that anew is tested on, and the QEMU command lines that make them."""

import fnmatch
import json
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

from .arch import ARCHES, DEFAULT_ARCH
from .errors import CouldNotRun
from .esp import copy_sparse

TOP = Path(__file__).resolve().parent.parent.parent
QEMU_10 = TOP / "build/qemu-10"
TRIXIE = TOP / "build/firmware-trixie"
VIRT_FIRMWARE = TOP / "build/virt-firmware"
OWNER = "616e6577-0000-4000-8000-000000000002"  # of the keys that are enrolled
FIRMWARE_FOLDERS = ("etc/qemu/firmware", "usr/share/qemu/firmware")
# Only starts what it trusts; x86_64's needs System Management Mode for it.
SECURE = "secure-boot"


class Model(NamedTuple):
    """A pinned machine: nothing of it depends on the computer that it is emulated on."""

    arch: str
    machine: str
    cpu: str
    about: str
    qemu_10: bool = False
    firmware: Path = Path("/")  # below which its packages are unpacked
    rng: bool = True  # whether it has a generator of random numbers
    secure: bool = False  # with Secure Boot


# CX16 is hidden because QEMU 7.2 emulates it wrongly: Linux 6.12 panics or hangs in one boot of
# four. The devices that are off cost firmware time at start and are of no use here.
Q35 = "smm=off,sata=off,smbus=off,vmport=off"
# Without virtualization=on the firmware runs at EL1, and EL2 is not there.
EL2 = "virtualization=on"

MODELS = {
    "q35-svm": Model("x86_64", f"pc-q35-7.2,{Q35}", "EPYC-v1,+svm,+npt,-cx16",
                     "AMD CPU with SVM and nested paging"),
    "q35-svm-max": Model("x86_64", f"pc-q35-7.2,{Q35}", "max,-cx16",
                         "all that QEMU emulates, with SVM"),
    "q35-nosvm": Model("x86_64", f"pc-q35-7.2,{Q35}", "EPYC-v1,-svm,-cx16",
                       "the same without SVM: anew must refuse in words"),
    "q35-svm-norng": Model("x86_64", f"pc-q35-7.2,{Q35}",
                           "EPYC-v1,+svm,+npt,-cx16,-rdrand,-rdseed",
                           "like q35-svm, without any generator of random numbers", rng=False),
    "q35-secure": Model("x86_64", f"pc-q35-7.2,{Q35.replace('smm=off', 'smm=on')}",
                        "EPYC-v1,+svm,+npt,-cx16", "like q35-svm, with Secure Boot", secure=True),
    "q35-svm-10": Model("x86_64", f"pc-q35-10.0,{Q35}", "EPYC-v1,+svm,+npt",
                        "like q35-svm, under QEMU 10 (qemu-runner/fetch qemu-10)", True),
    "virt-gicv3": Model("arm64", f"virt-7.2,{EL2},gic-version=3", "cortex-a72",
                        "EL2 without VHE, GICv3"),
    "virt-gicv3-norng": Model("arm64", f"virt-7.2,{EL2},gic-version=3", "cortex-a72",
                              "like virt-gicv3, without any generator of random numbers",
                              rng=False),
    "virt-vhe": Model("arm64", f"virt-7.2,{EL2},gic-version=3", "neoverse-n1",
                      "VHE, and a firmware that turns it on (E2H=1): qemu-runner/fetch --arch "
                      "arm64 firmware-trixie", firmware=TRIXIE),
    "virt-gicv2": Model("arm64", f"virt-7.2,{EL2},gic-version=2", "cortex-a57",
                        "EL2 without VHE, GICv2"),
    "virt-max-10": Model("arm64", f"virt-10.0,{EL2},gic-version=3", "max",
                         "all that QEMU 10 emulates, GICv3 (qemu-runner/fetch --arch arm64 "
                         "qemu-10)", True),
    "virt-secure": Model("arm64", f"virt-7.2,{EL2},gic-version=3", "cortex-a72",
                         "like virt-gicv3, with Secure Boot", secure=True),
    "virt-noel2": Model("arm64", "virt-7.2,gic-version=3", "cortex-a72",
                        "no EL2: anew must refuse in words"),
}


class Bus(NamedTuple):
    """How a disk is connected."""

    disk: str
    controller: list = []


BUSES = {
    "virtio": Bus("virtio-blk-pci"),
    "usb": Bus("usb-storage,bus=xhci.0"),
    "nvme": Bus("nvme,serial=anew"),
    # Not arm64: its firmware has no driver.
    "sata": Bus("ide-hd", ["-device", "ich9-ahci,id=ahci"]),
}
# What the architecture's firmware has a driver for.
SCREENS = {"x86_64": "VGA", "arm64": "ramfb"}


def choose(arch=None, name=None):
    """
    (architecture, machine's name) of which one or both may be None: the architecture is the named
    machine's, the machine the architecture's usual one.
    """
    if name in MODELS and arch in (None, MODELS[name].arch):
        return MODELS[name].arch, name
    if name:
        names = ", ".join(key for key, value in MODELS.items() if arch in (None, value.arch))
        where = f" for {arch}" if arch else ""
        raise CouldNotRun(f"there is no machine {name!r}{where}; there are: {names}")
    arch = arch or DEFAULT_ARCH
    if arch not in ARCHES:
        raise CouldNotRun(f"there is no architecture {arch!r}; there are: {', '.join(ARCHES)}")
    return arch, ARCHES[arch].machine


def _binary(chosen):
    """The first words of the command line."""
    name = f"qemu-system-{ARCHES[chosen.arch].qemu}"
    if chosen.qemu_10:
        binary = QEMU_10 / "usr/bin" / name
        if not binary.exists():
            raise CouldNotRun(f"there is no {binary}; get it with: qemu-runner/fetch --arch "
                              f"{chosen.arch} qemu-10")
        # Some firmware images are in packages of their own, which only the machine's QEMU has.
        return [str(binary), "-L", str(QEMU_10 / "usr/share/qemu"), "-L", "/usr/share/qemu"]
    if not shutil.which(name):
        raise CouldNotRun(f"{name} is not on this machine; install the packages "
                          + ARCHES[chosen.arch].packages)
    return [name]


def _suits(descriptor, chosen):
    targets = [target for target in descriptor.get("targets", ())
               if target.get("architecture") == ARCHES[chosen.arch].qemu]
    machine = chosen.machine.split(",")[0]
    patterns = [pattern for target in targets for pattern in target.get("machines", ())]
    return ("uefi" in descriptor.get("interface-types", ())
            and (SECURE in descriptor.get("features", ())) == chosen.secure
            and descriptor.get("mapping", {}).get("device") == "flash"
            and any(fnmatch.fnmatchcase(machine, pattern) for pattern in patterns))


def find_firmware(chosen):
    """(code, variables) of a UEFI firmware that QEMU's descriptors offer for this machine."""
    folders = [chosen.firmware / folder for folder in FIRMWARE_FOLDERS]
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
            # The names are absolute; the packages may be unpacked elsewhere.
            code, variables = (chosen.firmware / mapping[part]["filename"].lstrip("/")
                               for part in ("executable", "nvram-template"))
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            continue
        if code.is_file() and variables.is_file():
            return code, variables
    if chosen.firmware == TRIXIE:
        how = f"get it with: qemu-runner/fetch --arch {chosen.arch} firmware-trixie"
    else:
        how = f"install the packages {ARCHES[chosen.arch].packages}"
    raise CouldNotRun(f"no UEFI firmware for {chosen.arch} is described in "
                      f"{' or '.join(map(str, folders))}; {how}")


def _escaped(path):
    """@path as an option's value: a comma would begin the next one."""
    return str(path).replace(",", ",,")


def _disk(number, image, bus, readonly=False):
    """The words for a disk, the first of which the firmware boots; its device is called disk0."""
    drive = f"if=none,id=drive{number},format=raw,file={_escaped(image)}"
    return ["-drive", drive + (",readonly=on" if readonly else ""),
            "-device", f"{BUSES[bus].disk},drive=drive{number},id=disk{number},bootindex={number}"]


def enroll(variables, certificate):
    """Makes @certificate the only one whose signatures a firmware with these @variables trusts."""
    tool = VIRT_FIRMWARE / "usr/bin/virt-fw-vars"
    if not tool.exists():
        raise CouldNotRun(f"there is no {tool}; get it with: qemu-runner/fetch virt-firmware")
    words = [str(tool), "--inplace", str(variables), "--sb"]
    for name in ("PK", "KEK", "db"):
        words += ["--delete", name]
    for option in ("--set-pk", "--add-kek", "--add-db"):
        words += [option, OWNER, str(certificate)]
    done = subprocess.run(words, text=True, check=False, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, env={
                              "PYTHONPATH": str(VIRT_FIRMWARE / "usr/lib/python3/dist-packages")})
    if done.returncode:
        raise CouldNotRun(f"{' '.join(words)} failed: {done.stdout.strip()}")


def command(chosen, folder, image, memory, icount=False, gdb=None, bus="virtio", readonly=False,
            more_disks=(), screen=False, serial=True, qmp=None, cpus=1, threads=None,
            certificate=None):
    """
    QEMU's command line: the serial console on standard input and output. The firmware's variables
    are copied into @folder. @memory in MiB; @gdb is a TCP port where QEMU waits for a debugger.
    The disk @image, which may be @readonly, and @more_disks are on @bus (BUSES). @screen: with a
    screen and a USB keyboard; @qmp is the path of a socket where QEMU takes commands itself.
    @certificate is the only one that the firmware of a machine with Secure Boot trusts.
    @threads, "multi" or "single", is how @cpus processors are emulated: each by a thread of its
    own, or all by one.
    """
    if icount and threads == "multi":
        raise CouldNotRun("instructions can be counted with one thread only: leave out icount, or "
                          "say threads = single")
    binary = _binary(chosen)
    code, template = find_firmware(chosen)
    variables = Path(folder) / "firmware-variables.fd"
    copy_sparse(template, variables)  # arm64's are 64 MiB of nothing
    if certificate:
        enroll(variables, certificate)
    words = [*binary,
             "-machine", chosen.machine, "-accel", f"tcg,thread={threads}" if threads else "tcg",
             "-cpu", chosen.cpu, "-smp", str(cpus), "-m", str(memory),
             "-nodefaults", "-no-user-config", "-no-reboot", "-display", "none",
             "-boot", "menu=on,splash-time=0",
             "-drive", f"if=pflash,format=raw,unit=0,readonly=on,file={_escaped(code)}",
             "-drive", f"if=pflash,format=raw,unit=1,file={_escaped(variables)}",
             "-serial", "stdio" if serial else "none"]
    if screen or bus == "usb":
        words += ["-device", "qemu-xhci,id=xhci"]
    words += BUSES[bus].controller + _disk(0, image, bus, readonly)
    for number, path in enumerate(more_disks, 1):
        words += _disk(number, path, bus)
    if screen:
        words += ["-device", SCREENS[chosen.arch], "-device", "usb-kbd,bus=xhci.0"]
    if qmp:
        words += ["-qmp", f"unix:{_escaped(qmp)},server=on,wait=off"]
    if chosen.rng:
        words += ["-device", "virtio-rng-pci"]
    if chosen.secure and chosen.arch == "x86_64":
        words += ["-global", "driver=cfi.pflash01,property=secure,value=on"]
    if icount:
        words += ["-icount", "shift=0,sleep=off"]
    if gdb:
        words += ["-S", "-gdb", f"tcp:127.0.0.1:{gdb}"]
    return words
