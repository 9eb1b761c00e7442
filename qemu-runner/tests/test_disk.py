# SPDX-License-Identifier: MIT
import json
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

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
            files = esp.collect(conf, folder, {"extra/deep/file": folder / "app.efi"})
            image = folder / "disk.img"
            esp.make_image(image, "x86_64", folder / "app.efi", conf, files)

            def content(name):
                return subprocess.run(["mtype", "-i", f"{image}@@{esp.START}", f"::/{name}"],
                                      capture_output=True, check=True).stdout

            self.assertEqual(content("EFI/BOOT/BOOTX64.EFI"), b"app")
            self.assertEqual(content("sub/kernel"), b"kernel" * 1000)
            self.assertEqual(content("extra/deep/file"), b"app")
            self.assertEqual(content("anew.conf").decode(), conf + "\n" + esp.EVENTS)
            boot = image.read_bytes()[esp.START:esp.START + 512]
            self.assertEqual(boot[82:90], b"FAT32   ")


class FirmwareTest(unittest.TestCase):
    def test_descriptors(self):
        chosen = qemu.MODELS["q35-svm"]
        with tempfile.TemporaryDirectory() as folder:
            folder = Path(folder)
            for name in ("code", "vars"):
                (folder / name).touch()
            good = {"interface-types": ["uefi"], "features": ["acpi-s3"],
                    "mapping": {"device": "flash",
                                "executable": {"filename": str(folder / "code")},
                                "nvram-template": {"filename": str(folder / "vars")}},
                    "targets": [{"architecture": "x86_64", "machines": ["pc-q35-*"]}]}
            secure = dict(good, features=["requires-smm", "secure-boot"])
            other = dict(good, targets=[{"architecture": "aarch64", "machines": ["virt-*"]}])
            (folder / "10.json").write_text(json.dumps(secure))
            (folder / "20.json").write_text(json.dumps(other))
            (folder / "30.json").write_text("not json")
            (folder / "40.json").write_text("[]")
            with self.assertRaises(CouldNotRun):
                qemu.find_firmware(chosen, (folder,))
            (folder / "50.json").write_text(json.dumps(good))
            self.assertEqual(qemu.find_firmware(chosen, (folder,)),
                             (folder / "code", folder / "vars"))

    def test_unknown_machine(self):
        with self.assertRaises(CouldNotRun) as caught:
            qemu.model("q36", "x86_64")
        self.assertIn("q35-nosvm", str(caught.exception))


if __name__ == "__main__":
    unittest.main()
