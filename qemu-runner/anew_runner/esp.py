# SPDX-License-Identifier: MIT
"""Makes the disk that a machine boots: an EFI system partition with anew and its files."""

import os
import posixpath
import re
import subprocess
from pathlib import Path

from .errors import CouldNotRun

MIB = 1024 * 1024
SECTOR = 512
START = MIB  # of the partition
END = MIB  # behind the partition, with the second copy of the table
SLACK = 512  # MiB, for what anew writes: snapshots; it takes no room here until it does
SMALLEST = 96 * MIB  # a FAT32 needs 65,525 clusters
# From this size on there are enough clusters of 4 KiB, and with small ones too many to look after.
LARGE = 288 * MIB
CONF_NAME = "anew.conf"
EVENTS = "\n[anew]\nevents = console\n"
# The same in every image: nothing in one may depend on when and where it was made.
TABLE = f"""label: gpt
label-id: 616e6577-0000-4000-8000-000000000000
first-lba: {START // SECTOR}
start={START // SECTOR}, size={{sectors}}, type=U, uuid=616e6577-0000-4000-8000-000000000001, name=anew
"""
SERIAL = "414e4557"
FIRST_FAT_TIME = "315532800"  # 1980-01-01: FAT's times begin there


def conf_for(kernel, initrd, cmdline, memory, vcpus=1):
    """The text of a configuration with one VM `demo`; @memory in MiB."""
    lines = ["[vm demo]", f"memory = {memory}M", f"vcpus = {vcpus}", f"kernel = {kernel}"]
    if initrd:
        lines.append(f"initrd = {initrd}")
    lines.append(f"cmdline = {cmdline}")
    return "\n".join(lines) + "\n"


def conf_files(text):
    """The files that a configuration names, in order."""
    names = []
    section = ""
    for line in text.splitlines():
        line = line.strip()
        header = re.match(r"\[([^]]*)\]", line)
        if header:
            section = header.group(1).strip()
            continue
        pair = re.match(r"(kernel|initrd)\s*=\s*(.*?)\s*(?:\s;.*)?$", line)
        if pair and section.startswith("vm") and pair.group(2) and pair.group(2) not in names:
            names.append(pair.group(2))
    return names


def collect(conf, folder, files):
    """
    What belongs on the partition: a dictionary from its path there to the file here. @conf is the
    configuration's text, @folder where the files that it names are looked up; @files says so for
    single ones, and may name more.
    """
    wanted = {name.lstrip("/"): Path(path) for name, path in files.items()}
    for name in conf_files(conf):
        name = posixpath.normpath(name.replace("\\", "/")).lstrip("/")
        if name.startswith(".."):
            raise CouldNotRun(f"the configuration names {name}, which is outside its folder; move "
                              "the file into it, or say where it is with --file")
        if name not in wanted:
            wanted[name] = Path(folder) / name
    for name, path in wanted.items():
        if not path.is_file():
            raise CouldNotRun(f"there is no {path} (for {name} on the disk); build it, or see "
                              "qemu-runner/fetch for kernels")
    return wanted


def _tool(package, *command, text=""):
    # Not everybody has administrators' tools in reach. mtools knows SOURCE_DATE_EPOCH.
    environment = dict(os.environ, PATH=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin", LC_ALL="C",
                       TZ="UTC", SOURCE_DATE_EPOCH=FIRST_FAT_TIME)
    try:
        done = subprocess.run(command, text=True, check=False, input=text, env=environment,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    except FileNotFoundError:
        raise CouldNotRun(f"{command[0]} is not on this machine; install the package "
                          f"{package}") from None
    if done.returncode:
        raise CouldNotRun(f"{' '.join(command)} failed: {done.stdout.strip()}")


def _mtool(*command):
    _tool("mtools", *command)


def conf_file(image, conf, events=True):
    """Writes the text @conf beside @image, with what the runner needs, and returns where."""
    path = image.with_name(CONF_NAME)
    path.write_text(conf.rstrip("\n") + "\n" + (EVENTS if events else ""), encoding="utf-8")
    return path


def copy_sparse(source, target):
    """Copies a file; what is zero takes no room."""
    block = 65536
    with open(source, "rb") as old, open(target, "wb") as new:
        while data := old.read(block):
            if data.count(0) == len(data):
                new.seek(len(data), 1)
            else:
                new.write(data)
        new.truncate()


def make_image(image, files, slack=SLACK):
    """
    Writes the disk image @image: a GPT, and a FAT32 EFI system partition with @files, a dictionary
    from the path there to the file here, and @slack MiB of room. What is empty of it takes no room
    here. The same files make the same bytes.
    """
    image = Path(image)
    content = sum(path.stat().st_size for path in files.values())
    size = max(SMALLEST, (content + slack * MIB + MIB - 1) // MIB * MIB)
    sectors = size // SECTOR
    with open(image, "wb") as disk:
        disk.truncate(START + size + END)
    _tool("fdisk", "sfdisk", "--quiet", str(image), text=TABLE.format(sectors=sectors))
    drive = f"{image}@@{START}"
    cluster = "8" if size >= LARGE else "1"
    _mtool("mformat", "-i", drive, "-F", "-c", cluster, "-T", str(sectors), "-h", "255", "-s", "63",
           "-H", str(START // SECTOR), "-v", "ANEW", "-N", SERIAL, "::")
    made = set()
    for name in files:
        parts = name.split("/")[:-1]
        for depth in range(len(parts)):
            folder = "/".join(parts[:depth + 1])
            if folder.upper() not in made:
                _mtool("mmd", "-i", drive, f"::/{folder}")
                made.add(folder.upper())
    for name, path in files.items():
        _mtool("mcopy", "-i", drive, str(path), f"::/{name}")


def copy_image(image, disk, conf, events=True):
    """Copies the disk image @disk to @image; with another anew.conf where @conf is not None."""
    image, disk = Path(image), Path(disk)
    if not disk.is_file():
        raise CouldNotRun(f"there is no disk image {disk}; a machine leaves it as disk.img among "
                          "its logs")
    if image.exists() and image.samefile(disk):
        raise CouldNotRun(f"{disk} can't be copied onto itself; give the machine other logs")
    copy_sparse(disk, image)
    if conf is not None:
        _mtool("mcopy", "-o", "-i", f"{image}@@{START}", str(conf_file(image, conf, events)),
               f"::/{CONF_NAME}")
