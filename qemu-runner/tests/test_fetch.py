# SPDX-License-Identifier: MIT
import importlib.machinery
import importlib.util
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


if __name__ == "__main__":
    unittest.main()
