# SPDX-License-Identifier: MIT
"""What differs between the architectures, in one table."""

from typing import NamedTuple


class Arch(NamedTuple):
    """An architecture, called as in the rest of anew."""

    qemu: str  # its name in QEMU's
    packages: str  # Debian's, with the emulator and the firmware
    boot_file: str  # where firmware looks for what it boots
    machine: str  # of qemu.MODELS, unless another is named
    cmdline: str  # the demo's


ARCHES = {
    "x86_64": Arch("x86_64", "qemu-system-x86 and ovmf", "EFI/BOOT/BOOTX64.EFI", "q35-svm",
                   "console=ttyS0"),
    # The demo's `genid` reads memory that Linux's driver of the generation id has claimed.
    "arm64": Arch("aarch64", "qemu-system-arm and qemu-efi-aarch64", "EFI/BOOT/BOOTAA64.EFI",
                  "virt-gicv3", "console=ttyAMA0 iomem=relaxed"),
}
DEFAULT_ARCH = "x86_64"
