# SPDX-License-Identifier: MIT
import contextlib
import importlib.machinery
import importlib.util
import io
import tempfile
import unittest
from pathlib import Path

FETCH = Path(__file__).resolve().parent.parent / "fetch"


def load():
    loader = importlib.machinery.SourceFileLoader("fetch", str(FETCH))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("fetch", loader))
    loader.exec_module(module)
    return module


class ArchiveTest(unittest.TestCase):
    def setUp(self):
        self.fetch = load()
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.etc = Path(folder.name)
        (self.etc / "sources.list.d").mkdir()

    def archive(self, name, text):
        (self.etc / name).write_text(text)
        return self.fetch.machine_archive(self.etc)[0]

    def test_one_line(self):
        self.assertEqual(self.archive("sources.list", "# deb http://no bookworm main\n"
                                      "deb http://other/ foo-bookworm main\n"
                                      "deb [arch=amd64] http://mirror/debian bookworm main\n"),
                         "http://mirror/debian")

    def test_deb822(self):
        self.assertEqual(self.archive(
            "sources.list.d/x.sources",
            "Types: deb\nURIs: http://off\nSuites: bookworm\nComponents: main\nEnabled: no\n\n"
            "Types: deb\n# URIs: http://no\nURIs: http://mirror\nSuites: bookworm "
            "bookworm-updates\nComponents: main\n"), "http://mirror")

    def test_none(self):
        with self.assertRaises(self.fetch.Problem):
            self.archive("sources.list", "deb http://other jammy main\n")


class ThingsTest(unittest.TestCase):
    def setUp(self):
        self.fetch = load()

    def test_every_architecture_has_its_own(self):
        # One place, one thing: a tool for this computer may be every architecture's.
        places = {}
        for arch in self.fetch.DEBIAN_ARCH:
            for name, thing in self.fetch.things(arch).items():
                places.setdefault(thing.target, set()).add((name, thing.arch))
        for target, found in places.items():
            self.assertEqual(len(found), 1, target)
        for arch, names in self.fetch.DEFAULT.items():
            for name in names:
                thing = self.fetch.things(arch)[name]
                self.assertEqual(thing.arch, self.fetch.DEBIAN_ARCH[arch])
                self.assertIn(arch, thing.target.parts)

    def test_an_old_package_list_is_read_again(self):
        class Archive:
            stale, updates = False, 0

            def update(self):
                self.updates += 1

        def get(apt, _target):
            if apt.updates < needed:
                raise self.fetch.Problem("not there any more")

        for needed, asked, updates in ((0, False, 0), (0, True, 1), (1, False, 1), (1, True, 1)):
            apt = Archive()
            self.fetch.fetch(self.fetch.Thing(Path("x"), "arm64", "trixie", get), apt, asked)
            self.assertEqual(apt.updates, updates)
        needed = 2
        with self.assertRaises(self.fetch.Problem):
            self.fetch.fetch(self.fetch.Thing(Path("x"), "arm64", "trixie", get), Archive(), False)

    def test_the_one_file_of_a_package(self):
        with tempfile.TemporaryDirectory() as folder:
            folder = Path(folder)
            files = ["boot/vmlinuz-1"]

            def unpack(_deb, directory):
                for name in files:
                    path = Path(directory, name)
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_text(name)

            class Archive:
                @staticmethod
                def download(package):
                    return Path(f"{package}.deb")

            self.fetch.TOP = self.fetch.BUILD = folder
            self.fetch.unpack = unpack
            target = folder / "guest/kernel"
            with contextlib.redirect_stdout(io.StringIO()):
                self.fetch.fetch_file("linux", "boot/vmlinuz-*", Archive, target)
            self.assertEqual(target.read_text(), "boot/vmlinuz-1")
            files.append("boot/vmlinuz-2")
            with self.assertRaises(self.fetch.Problem):
                self.fetch.fetch_file("linux", "boot/vmlinuz-*", Archive, target)


if __name__ == "__main__":
    unittest.main()
