# SPDX-License-Identifier: MIT
import json
import os
import shutil
import struct
import subprocess
import tempfile
import time
import unittest
import uuid
from pathlib import Path
from unittest import mock

from anew_runner import CouldNotRun, esp, qemu


class ConfTest(unittest.TestCase):
    def test_files_that_a_conf_names(self):
        conf = ("; kernel = no\n# kernel = no\n[vm a]\nkernel = k/vmlinuz ; the kernel\n"
                "initrd=i\n[vm b]\nkernel = k/vmlinuz\n[anew]\nkernel = no\n")
        self.assertEqual(esp.conf_files(conf), ["k/vmlinuz", "i"])

    def test_made_conf_names_its_files(self):
        conf = esp.conf_for("kernel", "initrd", "console=ttyS0", 256)
        self.assertEqual(esp.conf_files(conf), ["kernel", "initrd"])
        self.assertEqual(esp.conf_files(esp.conf_for("kernel", None, "", 256)), ["kernel"])

    def test_a_file_outside_the_folder_is_refused(self):
        with self.assertRaises(CouldNotRun):
            esp.collect("[vm a]\nkernel = ../k\n", "/", {})


@unittest.skipUnless(shutil.which("mformat"), "mtools are not installed")
class ImageTest(unittest.TestCase):
    def test_what_is_on_the_disk(self):
        with tempfile.TemporaryDirectory() as folder:
            folder = Path(folder)
            (folder / "app.efi").write_bytes(b"app")
            (folder / "sub").mkdir()
            (folder / "sub/kernel").write_bytes(b"kernel" * 1000)
            conf = "[vm a]\nkernel = sub/kernel"
            image = folder / "disk.img"
            files = {"EFI/BOOT/BOOTAA64.EFI": folder / "app.efi",
                     esp.CONF_NAME: esp.conf_file(image, conf),
                     **esp.collect(conf, folder, {"extra/deep/file": folder / "app.efi"})}
            esp.make_image(image, files)

            def content(name):
                return subprocess.run(["mtype", "-i", f"{image}@@{esp.START}", f"::/{name}"],
                                      capture_output=True, check=True).stdout

            self.assertEqual(content("EFI/BOOT/BOOTAA64.EFI"), b"app")
            self.assertEqual(content("sub/kernel"), b"kernel" * 1000)
            self.assertEqual(content("extra/deep/file"), b"app")
            self.assertEqual(content("anew.conf").decode(), conf + "\n" + esp.EVENTS)
            boot = image.read_bytes()[esp.START:esp.START + 512]
            self.assertEqual(boot[82:90], b"FAT32   ")
            # UEFI 2.10, sections 5.3.2 and 5.3.3: header, first entry, type of a system partition.
            table = image.read_bytes()[esp.SECTOR:3 * esp.SECTOR]
            self.assertEqual(table[:8], b"EFI PART")
            self.assertEqual(uuid.UUID(bytes_le=table[esp.SECTOR:esp.SECTOR + 16]),
                             uuid.UUID("c12a7328-f81f-11d2-ba4b-00a0c93ec93b"))
            self.assertEqual(image.read_bytes()[-esp.SECTOR:][:8], b"EFI PART")

    def test_the_same_bytes_at_another_time(self):
        with tempfile.TemporaryDirectory() as folder:
            images = []
            for number, zone in enumerate(("UTC", "EST")):
                (Path(folder) / str(number)).mkdir()
                app = Path(folder) / str(number) / "app.efi"
                app.write_bytes(b"app")
                os.utime(app, (number * 10**8,) * 2)
                images.append(Path(folder) / str(number) / "disk.img")
                with mock.patch.dict(os.environ, TZ=zone):
                    esp.make_image(images[-1], {"EFI/BOOT/BOOTX64.EFI": app}, 0)
                time.sleep(1 if not number else 0)
            self.assertEqual(images[0].read_bytes(), images[1].read_bytes())

    def test_room_for_large_files(self):
        with tempfile.TemporaryDirectory() as folder:
            folder = Path(folder)
            (folder / "app.efi").write_bytes(b"app")
            image = folder / "disk.img"
            for slack, cluster in ((200, 512), (esp.LARGE // esp.MIB, 4096), (5000, 4096)):
                esp.make_image(image, {"app.efi": folder / "app.efi"}, slack)
                self.assertGreaterEqual(image.stat().st_size, slack * esp.MIB)
                self.assertLess(image.stat().st_blocks * 512, 16 * esp.MIB)
                with open(image, "rb") as disk:
                    disk.seek(esp.START)
                    boot = disk.read(512)
                sectors, fats = struct.unpack_from("<I", boot, 32)[0], boot[16]
                reserved, fat = (struct.unpack_from("<H", boot, 14)[0],
                                 struct.unpack_from("<I", boot, 36)[0])
                self.assertEqual(boot[13] * 512, cluster)
                # Or it would be taken for a FAT16.
                self.assertGreaterEqual((sectors - reserved - fats * fat) // boot[13], 65525)

    def test_copy_of_a_disk(self):
        with tempfile.TemporaryDirectory() as folder:
            folder = Path(folder)
            (folder / "app.efi").write_bytes(b"app")
            (folder / "other").mkdir()
            disk, image = folder / "disk.img", folder / "other/disk.img"
            esp.make_image(disk, {"app.efi": folder / "app.efi",
                                  esp.CONF_NAME: esp.conf_file(disk, "[vm a]")})
            esp.copy_image(image, disk, None)
            self.assertEqual(image.read_bytes(), disk.read_bytes())
            self.assertLess(image.stat().st_blocks * 512, 16 * esp.MIB)
            esp.copy_image(image, disk, "[vm b]")
            text = subprocess.run(["mtype", "-i", f"{image}@@{esp.START}", "::/anew.conf"],
                                  capture_output=True, check=True).stdout.decode()
            self.assertEqual(text, "[vm b]\n" + esp.EVENTS)
            for wrong in (disk, folder / "missing.img"):
                with self.assertRaises(CouldNotRun):
                    esp.copy_image(disk, wrong, None)


class FirmwareTest(unittest.TestCase):
    def test_descriptors(self):
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder)
            chosen = qemu.MODELS["q35-svm"]._replace(firmware=root)
            folder = root / "usr/share/qemu/firmware"
            folder.mkdir(parents=True)
            for name in ("code", "vars"):
                (root / name).touch()
            # Absolute names, though its packages are unpacked elsewhere.
            good = {"interface-types": ["uefi"], "features": ["acpi-s3"],
                    "mapping": {"device": "flash", "executable": {"filename": "/code"},
                                "nvram-template": {"filename": "/vars"}},
                    "targets": [{"architecture": "x86_64", "machines": ["pc-q35-*"]}]}
            secure = dict(good, features=["requires-smm", "secure-boot"])
            other = dict(good, targets=[{"architecture": "aarch64", "machines": ["virt-*"]}])
            (folder / "10.json").write_text(json.dumps(secure))
            (folder / "20.json").write_text(json.dumps(other))
            (folder / "30.json").write_text("not json")
            (folder / "40.json").write_text("[]")
            with self.assertRaises(CouldNotRun):
                qemu.find_firmware(chosen)
            (folder / "50.json").write_text(json.dumps(good))
            self.assertEqual(qemu.find_firmware(chosen), (root / "code", root / "vars"))
            (folder / "50.json").unlink()
            with self.assertRaises(CouldNotRun):
                qemu.find_firmware(chosen)
            self.assertEqual(qemu.find_firmware(chosen._replace(secure=True)),
                             (root / "code", root / "vars"))
            # The other architecture has another name with QEMU.
            chosen = qemu.MODELS["virt-gicv3"]._replace(firmware=root)
            self.assertEqual(qemu.find_firmware(chosen), (root / "code", root / "vars"))
            (folder / "20.json").unlink()
            with self.assertRaises(CouldNotRun) as caught:
                qemu.find_firmware(chosen)
            self.assertIn("qemu-efi-aarch64", str(caught.exception))


class ChooseTest(unittest.TestCase):
    def test_one_names_the_other(self):
        self.assertEqual(qemu.choose(), ("x86_64", "q35-svm"))
        self.assertEqual(qemu.choose("arm64"), ("arm64", "virt-gicv3"))
        self.assertEqual(qemu.choose(name="virt-vhe"), ("arm64", "virt-vhe"))
        self.assertEqual(qemu.choose("x86_64", "q35-nosvm"), ("x86_64", "q35-nosvm"))

    def test_unknown(self):
        for arch, name, words in (("x86_64", "q36", "q35-nosvm"), (None, "q36", "virt-gicv2"),
                                  ("arm64", "q35-svm", "virt-noel2"), ("mips", None, "arm64")):
            with self.assertRaises(CouldNotRun) as caught:
                qemu.choose(arch, name)
            self.assertIn(words, str(caught.exception))


class CommandTest(unittest.TestCase):
    def command(self, name, **options):
        with tempfile.TemporaryDirectory() as folder:
            template = Path(folder, "template")
            template.write_bytes(b"one" + bytes(200000) + b"two" + bytes(100000))
            with mock.patch.object(qemu, "find_firmware", lambda _: (Path("/code"), template)), \
                    mock.patch.object(qemu, "_binary", lambda _: ["qemu"]):
                words = qemu.command(qemu.MODELS[name], folder, Path("/d,isk"), 2048, **options)
            variables = Path(folder, "firmware-variables.fd")
            self.assertEqual(variables.read_bytes(), template.read_bytes())
        return words

    def test_every_machine_is_pinned(self):
        for name, model in qemu.MODELS.items():
            words = self.command(name)
            version = "10.0" if model.qemu_10 else "7.2"
            self.assertIn(f"-{version},", words[words.index("-machine") + 1])
            self.assertTrue(any(word.endswith("file=/d,,isk") for word in words))
        self.assertIn("virtualization=on", " ".join(self.command("virt-gicv3")))
        self.assertNotIn("virtualization=on", " ".join(self.command("virt-noel2")))

    def test_options(self):
        words = self.command("virt-gicv3", icount=True, gdb=1234, cpus=4)
        self.assertIn("tcp:127.0.0.1:1234", words)
        self.assertIn("shift=0,sleep=off", words)
        self.assertEqual(words[words.index("-smp") + 1], "4")
        self.assertEqual(words[words.index("-accel") + 1], "tcg")
        words = self.command("q35-svm", threads="single")
        self.assertEqual(words[words.index("-accel") + 1], "tcg,thread=single")
        self.assertEqual(words[words.index("-smp") + 1], "1")
        with self.assertRaises(CouldNotRun):
            self.command("q35-svm", icount=True, threads="multi")

    def test_devices(self):
        for bus in qemu.BUSES:
            words = self.command("q35-svm", bus=bus, more_disks=["/e"], readonly=True)
            devices = [word for flag, word in zip(words, words[1:]) if flag == "-device"]
            for number in range(2):
                self.assertIn(f"{qemu.BUSES[bus].disk},drive=drive{number},id=disk{number},"
                              f"bootindex={number}", devices)
            self.assertEqual(["readonly=on" in word for word in words if "if=none" in word],
                             [True, False])
        words = self.command("virt-gicv3", screen=True, serial=False, qmp="/q")
        self.assertIn("ramfb", words)
        self.assertEqual(words[words.index("-serial") + 1], "none")
        self.assertIn("unix:/q,server=on,wait=off", words)


if __name__ == "__main__":
    unittest.main()
