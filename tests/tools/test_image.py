# SPDX-License-Identifier: MIT
"""The disk image: it is the same bytes, whoever builds it, and wherever."""

import hashlib
import os
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent.parent
# Other people's: what anew itself is built from and with, and the demo's kernels.
FETCHED = ("apt-deps", "deps", "newlib")
GUEST_FILES = ("vmlinuz-*", "busybox")


def digest(path):
    """SHA-256 of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class Reproducible(unittest.TestCase):
    """`make image` in another folder, of the same files."""

    def copy_tree(self, folder):
        """The sources as they are now, and what was fetched for them."""
        names = subprocess.run(["git", "ls-files", "-coz", "--exclude-standard"], cwd=TOP, check=True,
                               capture_output=True).stdout.decode().split("\0")
        for name in filter(None, names):
            if (TOP / name).is_file():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(TOP / name, folder / name)
        for name in FETCHED:
            shutil.copytree(TOP / "build" / name, folder / "build" / name, symlinks=True)
        for pattern in GUEST_FILES:
            for path in (TOP / "build/guest").glob(f"*/{pattern}"):
                target = folder / path.relative_to(TOP)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(path, target)

    def test_two_folders(self):
        build = (TOP / "build/build-id").read_text(encoding="ascii").strip()
        environment = {key: value for key, value in os.environ.items()
                       if key not in ("MAKEFLAGS", "MFLAGS", "ARCH")}
        with tempfile.TemporaryDirectory() as folder:
            other = Path(folder) / "some-where/else"
            self.copy_tree(other)
            for top in (TOP, other):
                subprocess.run(["make", "--no-print-directory", "image", f"BUILD_ID={build}"],
                               cwd=top, env=dict(environment, TZ="Asia/Tokyo"), check=True,
                               stdout=subprocess.DEVNULL)
            self.assertEqual(digest(TOP / "build/anew.img"), digest(other / "build/anew.img"))


if __name__ == "__main__":
    unittest.main(verbosity=2)
