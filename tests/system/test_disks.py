# SPDX-License-Identifier: MIT
"""
Disks as real machines have them: the image of `make image` on a USB stick, NVMe, SATA; two of them,
full ones, read-only and damaged ones, and one that is pulled out.
"""

import struct
import subprocess
import time
import unittest

from support import ARCHES, TOP, USUAL_MACHINES, for_machines

from anew_runner import esp

IMAGE = TOP / "build/anew.img"
IMAGE_CONF = TOP / "tests/demo/anew.conf"
# arm64's firmware has no driver for SATA.
OTHER_BUS = {"x86_64": "sata", "arm64": "nvme"}


class Fat:
    """The FAT32 of an image's partition, to be changed (Microsoft's specification, version 1.03)."""

    def __init__(self, image):
        self._image = image
        boot = self.read(0, 512)
        self.cluster_bytes = boot[13] * 512
        self.reserved = struct.unpack_from("<H", boot, 14)[0] * 512
        self.fats, self.fat_bytes = boot[16], struct.unpack_from("<I", boot, 36)[0] * 512
        sectors = struct.unpack_from("<I", boot, 32)[0]
        self.data = self.reserved + self.fats * self.fat_bytes
        self.clusters = (sectors * 512 - self.data) // self.cluster_bytes

    def read(self, offset, length):
        """Bytes of the partition."""
        with open(self._image, "rb") as disk:
            disk.seek(esp.START + offset)
            return disk.read(length)

    def write(self, offset, data):
        """The same to it."""
        with open(self._image, "r+b") as disk:
            disk.seek(esp.START + offset)
            disk.write(data)

    def set_free(self, bytes_free):
        """Lies about what is free, as a disk does that wasn't let finish its writing."""
        self.write(512 + 488, struct.pack("<I", bytes_free // self.cluster_bytes))

    def first_cluster(self, path):
        """Where the file or folder begins."""
        text = subprocess.run(["mshowfat", "-i", f"{self._image}@@{esp.START}", f"::/{path}"],
                              check=True, capture_output=True, text=True).stdout
        return int(text.split("<")[1].split("-")[0].rstrip(">\n"))

    def set_next(self, cluster, value):
        """What follows @cluster, in all copies of the table."""
        for number in range(self.fats):
            self.write(self.reserved + number * self.fat_bytes + 4 * cluster,
                       struct.pack("<I", value))


class Disks:
    """The demo guest, and snapshots of it, on each kind of disk."""

    def kept(self, m, name, more=""):
        """The VM `demo` is kept."""
        self.assertIn("written to the volume", m.monitor(f"snapshot demo {name}{more}", 120))

    def whole(self, m, name):
        """A snapshot is as it was written."""
        self.assertIn("is whole", m.monitor(f"check {name}", 120))

    def runs(self, m, number):
        """The guest does."""
        m.guest(f"echo it-runs-$(({number} + 1))")
        m.expect(rf"^it-runs-{number + 1}$")

    def test_usb_stick_pulled_out(self):
        """The shipped image, and so {arch} in its anew.conf."""
        m = self.demo(disk=IMAGE, conf=IMAGE_CONF.read_text(encoding="utf-8"), bus="usb", qmp=True,
                      deadline=600)
        self.kept(m, "s1")
        m.qmp("device_del", id="disk0")
        self.runs(m, 0)
        self.assertRegex(m.monitor("snapshot demo s2", 120), r"error: .*; (plug it in|name a folder)")
        self.assertRegex(m.monitor("check s1", 120), r"error: there is no volume of snapshots; "
                         r"plug it in where it was, or name a folder of another volume")
        self.assertIn("in memory alone", m.monitor("snapshot demo s3 --memory"))
        self.runs(m, 1)
        m.qmp("blockdev-add", driver="raw", file={"driver": "file",
                                                  "filename": str(self.logs / "disk.img")},
              **{"node-name": "again"})
        m.qmp("device_add", driver="usb-storage", bus="xhci.0", port="1", drive="again", id="again")
        # The firmware looks at its ports now and then.
        for _ in range(10):
            time.sleep(1)
            if "error:" not in m.monitor("check s1", 120):
                break
        self.whole(m, "s1")
        self.kept(m, "s2")

    def test_two_disks_one_of_which_fills_up(self):
        """What the volume says of its room is wrong, so that it is full in the middle of writing."""
        self.logs.mkdir(parents=True, exist_ok=True)
        data, filler = self.logs / "data.img", self.logs / "filler"
        filler.write_bytes(bytes(160 << 20))
        esp.make_image(data, {"filler": filler}, 100)
        subprocess.run(["mlabel", "-i", f"{data}@@{esp.START}", "::DATA"], check=True)
        fat = Fat(data)
        fat.set_free(fat.clusters * fat.cluster_bytes - (1 << 20))
        conf = (f"[vm demo]\nkernel = {{arch}}/k\ninitrd = i\ncmdline = {ARCHES[self.arch].cmdline}\n"
                "[anew]\nsnapshots = DATA:kept/here\n")
        # With the byte order mark and the line ends of Windows' editor.
        conf = "\ufeff" + conf.replace("\n", "\r\n")
        m = self.demo(conf=conf, bus="nvme", more_disks=[data], deadline=600, files={
            f"{self.arch}/k": self.guests / "vmlinuz-6.12", "i": self.guests / "initrd"})
        self.kept(m, "s1")
        m.guest("head -c 16000000 /dev/urandom >/big; echo is ${#HOME}")
        m.expect(r"^is \d", 240)
        self.assertRegex(m.monitor("snapshot demo s1 --replace", 120),
                         r"error: snapshot s1 can't be written: no room left after \d+ MiB, \d+ MiB "
                         r"are missing; nothing was changed; `delete` another one, or name")
        self.whole(m, "s1")
        self.runs(m, 0)
        m.kill()
        listed = subprocess.run(["mdir", "-b", "-i", f"{data}@@{esp.START}", "::/kept/here"],
                                check=True, capture_output=True, text=True).stdout
        self.assertEqual(listed.split(), ["::/kept/here/s1~0.snap"])

    def test_full_disk(self):
        m = self.demo(bus=OTHER_BUS[self.arch], slack=60)
        self.kept(m, "s1")
        self.assertRegex(m.monitor("snapshot demo s2", 120), r"error: s2 needs (\d+) MiB, and the "
                         r"volume of snapshots has (\d+) MiB free: (\d+) MiB are missing; `delete`")
        self.whole(m, "s1")
        self.runs(m, 0)

    def test_damaged_partition(self):
        """A file whose clusters end too early, so that no kernel can be read from it."""
        m = self.prepared(files={"broken": self.guests / "vmlinuz-6.12", "sound":
                                 self.payload_file("basic")},
                          conf="[vm one]\nkernel = broken\n"
                          "[vm last]\nmemory = 32M\nkernel = sound\ntestdev = on\n")
        m.prepare()
        fat = Fat(self.logs / "disk.img")
        fat.set_next(fat.first_cluster("broken") + 1, 0)
        m.start()
        m.event("vm", 120, vm="last", state="off")
        self.assertRegex(m.monitor("log"), r"one: .*error")
        self.assertRegex(m.monitor("list"), r"last +off")

    def test_read_only(self):
        m = self.payloads("busy", bus="usb", readonly=True)
        self.assertRegex(m.monitor("snapshot busy s1"), r"error: the volume of snapshots is "
                         r"write-protected; end that, or name a folder of another volume")
        self.assertRegex(m.monitor("list"), r"busy +running")


for_machines(USUAL_MACHINES, Disks, globals())


if __name__ == "__main__":
    unittest.main(verbosity=2)
