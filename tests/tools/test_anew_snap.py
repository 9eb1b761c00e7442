# SPDX-License-Identifier: MIT
"""
anew-snap, run on files. What is damaged or forged here is so by hv/snapshot/FORMAT.md alone, with a
checksum of its own: none of the code under test takes part.
"""

import struct
import subprocess
import tempfile
import unittest
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
TOOL = TOP / "build/host/anew-snap"
GOLDEN = TOP / "tests/golden/snapshot-1.snap"
PAGE = 4096
WHOLE, REFUSED, TROUBLE = 0, 1, 2

# Offsets in the header.
VERSION, HEADER_ID, PART_BYTES, META_LENGTH, META_CRC, CRC = 8, 64, 216, 232, 236, 4092
# Of the golden snapshot's pieces, and of the records in its meta area.
META, STATE, CHUNK = PAGE, 2 * PAGE, 3 * PAGE
RECORD = 28
CONFIG_BYTES, LAYOUT_BYTES = 1325, 392
LAYOUT = META + RECORD + CONFIG_BYTES


def crc32c(data):
    """CRC-32C, a bit at a time."""
    crc = 0xffffffff
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82f63b78 if crc & 1 else 0)
    return crc ^ 0xffffffff


class Snapshot:
    """The bytes of the golden snapshot, to be changed and sealed again."""

    def __init__(self):
        self.data = bytearray(GOLDEN.read_bytes())

    def put(self, offset, layout, *values):
        """Packs @values at @offset."""
        struct.pack_into("<" + layout, self.data, offset, *values)

    def get(self, offset, layout):
        """The one value at @offset."""
        return struct.unpack_from("<" + layout, self.data, offset)[0]

    def crc(self, begin, end):
        """Of the bytes, as of this snapshot."""
        return crc32c(self.data[HEADER_ID:HEADER_ID + 16] + self.data[begin:end])

    def seal(self, *pieces):
        """Computes the checksums of @pieces anew: META, CHUNK; and always the header's."""
        if META in pieces:
            self.put(META_CRC, "I", self.crc(META, STATE))
        if CHUNK in pieces:
            self.put(CHUNK + 4, "I", 0)
            self.put(CHUNK + 4, "I", self.crc(CHUNK, CHUNK + PAGE))
        self.put(CRC, "I", self.crc(0, CRC))
        return self


class SnapTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.path = self.folder / "s1~0.snap"

    def run_tool(self, *arguments):
        return subprocess.run([TOOL, *arguments], capture_output=True, text=True, check=False,
                              timeout=60)

    def expect(self, status, text, data=None, command="check"):
        """Runs it on @data, if there is any; @text is in what it says."""
        if data is not None:
            self.path.write_bytes(data)
        done = self.run_tool(command, self.path)
        self.assertEqual(done.returncode, status, done.stdout + done.stderr)
        self.assertIn(text, done.stderr if status else done.stdout)
        self.assertEqual(bool(done.stderr), bool(status), done.stderr)
        if status:
            self.assertEqual(done.stdout, "")
            self.assertEqual(done.stderr.count("\n"), 1)

    def refused(self, snapshot, text):
        """By both commands, for what the header and the records say."""
        self.expect(REFUSED, text, snapshot.data)
        self.expect(REFUSED, text, command="info")

    def test_whole(self):
        self.expect(WHOLE, "s1~0.snap: whole\n", GOLDEN.read_bytes())

    def test_own_checksums_agree(self):
        golden = GOLDEN.read_bytes()
        self.assertEqual(Snapshot().seal(META, CHUNK).data, golden)

    def test_info(self):
        self.expect(WHOLE, "", GOLDEN.read_bytes(), command="info")
        shown = self.run_tool("info", self.path).stdout
        for line in ("name s1", "VM demo", "architecture x86_64",
                     "format version 1, written by anew golden", "taken 2023-11-14 22:13:20 UTC",
                     "id 101112131415161718191a1b1c1d1e1f",
                     "parent base (20210000000000000000000000000000)", "generation 3",
                     "bytes 28672 in 1 file", "pages 3 of 4 KiB, all others are zeros",
                     "memory 16 MiB", "config.0 1 1325", "layout.0 1 392",
                     "fifteen-letters.0 1 10", "short.0 1 0", "short.4294967295 1 1"):
            self.assertIn(line, [" ".join(had.split()) for had in shown.splitlines()])

    def test_without_parent_and_clock(self):
        snapshot = Snapshot()
        snapshot.put(80, "16s32s", b"", b"")
        snapshot.put(200, "Q", 0)
        self.path.write_bytes(snapshot.seal().data)
        shown = self.run_tool("info", self.path).stdout
        self.assertRegex(shown, r"parent +none, the VM was booted\n")
        self.assertRegex(shown, r"taken +unknown\n")

    def test_time_that_no_calendar_has(self):
        snapshot = Snapshot()
        snapshot.put(200, "Q", 2 ** 64 - 1)
        self.path.write_bytes(snapshot.seal().data)
        self.assertRegex(self.run_tool("info", self.path).stdout, r"taken +unknown\n")

    def test_usage(self):
        for arguments in ([], ["check"], ["info", "a", "b"], ["chek", str(GOLDEN)]):
            done = self.run_tool(*arguments)
            self.assertEqual(done.returncode, TROUBLE)
            self.assertIn("usage:", done.stderr)

    def test_no_file(self):
        self.expect(TROUBLE, "No such file")
        self.path.mkdir()
        self.expect(TROUBLE, "is not a file")

    def test_damage(self):
        for offset, text in ((20, "the header is damaged"),
                             (META + 30, "the meta records (4096 bytes at byte 4096) are damaged"),
                             (STATE, "the state records (4096 bytes at byte 8192) are damaged"),
                             (CHUNK + 20, "chunk 0 at byte 12288: its list of pages is damaged"),
                             (CHUNK + PAGE, "page at 1000h is damaged"),
                             (CHUNK + 4 * PAGE - 1, "page at d0000000h is damaged")):
            snapshot = Snapshot()
            snapshot.data[offset] ^= 4
            self.expect(REFUSED, text, snapshot.data)

    def test_size(self):
        golden = GOLDEN.read_bytes()
        self.expect(REFUSED, "the file ends at byte 0, 4096 bytes of its header are missing", b"")
        self.expect(REFUSED, "the file ends at byte 28671, 1 bytes are missing", golden[:-1])
        self.expect(REFUSED, "the file has 3 bytes behind the snapshot's end", golden + b"abc")
        self.expect(REFUSED, "it was not written to its end", bytes(PAGE) + golden[PAGE:])
        self.expect(REFUSED, "it is no snapshot", b"x" * PAGE)

    def test_newer_version(self):
        snapshot = Snapshot()
        snapshot.put(VERSION, "I", 2)
        self.refused(snapshot.seal(), "it is of format version 2, this anew reads version 1")

    def test_records(self):
        for offset, layout, value, text in (
                (META, "16s", b"confij", "record config.0: is missing"),
                (META + 16, "I", 1, "record config.0: is missing"),
                (META + 20, "I", 2, "record config.0: is of version 2"),
                (META + 24, "I", 1324, "record .0: is 100352 bytes, 393 are left"),
                (META + 24, "I", 4000, "record config.0: is 4000 bytes, 1745 are left"),
                (META + 24, "I", 1745, "record config.0: is 1745 bytes, must be 1325"),
                (META + 24, "I", 1725, "the records end in the middle of a header"),
                (META, "16s", b"a b", "the type of the meta record at byte 0 is not legal"),
                (META, "16s", b"x" * 16, "the type of the meta record at byte 0 is not legal"),
                (META, "16s", b"\x1b[2J", "the type of the meta record at byte 0 is not legal"),
                (META, "16s", b"layout", "record layout.0: there are two of it"),
                (META + RECORD, "32s", b"x" * 32, "record config.0: the VM's name is not a name"),
                (META + RECORD, "32s", b"-x", "record config.0: the VM's name is not a name"),
                (META + RECORD, "32s", b"other",
                 "record config.0: the VM is other, and demo in the header"),
                (META + RECORD + 32, "Q", 3 << 20, "record config.0: memory is not whole MiB"),
                (META + RECORD + 32, "Q", (16 << 20) + 1, "record config.0: memory is not whole"),
                (META + RECORD + 32, "Q", (1 << 40) + (1 << 20), "record config.0: memory is not"),
                (META + RECORD + 40, "I", 0, "record config.0: the VM has none or more virtual"),
                (META + RECORD + 40, "I", 2 ** 32 - 1, "record config.0: the VM has none or more"),
                (META + RECORD + 44, "128s", b"k" * 128, "record config.0: kernel, initrd or"),
                (META + RECORD + 172, "128s", b"\x1b", "record config.0: kernel, initrd or"),
                (META + RECORD + 300, "1024s", b"a\0b", "record config.0: kernel, initrd or"),
                (META + RECORD + 1324, "B", 2, "record config.0: testdev is neither on nor off"),
                (LAYOUT, "16s", b"lay", "record layout.0: is missing"),
                (LAYOUT + RECORD, "I", 17, "record layout.0: it says that it has 17 slots"),
                (LAYOUT + RECORD, "I", 2, "record layout.0: slot 2 is not in use"),
                (LAYOUT + RECORD, "I", 4, "record layout.0: slot 3 is none"),
                (LAYOUT + RECORD + 8, "Q", 1, "record layout.0: slot 0 is none"),
                (LAYOUT + RECORD + 16, "Q", 2 ** 48 + PAGE, "record layout.0: slot 0 is none"),
                (LAYOUT + RECORD + 24, "I", 2, "record layout.0: slot 0 is none"),
                (LAYOUT + RECORD + 28, "I", 1, "record layout.0: slot 0 is none"),
                (LAYOUT + RECORD + 16, "Q", 0x101000,
                 "record layout.0: slot 1 lies in slot 0")):
            with self.subTest(text=text):
                snapshot = Snapshot()
                snapshot.put(offset, layout, value)
                self.refused(snapshot.seal(META), text)

    def test_too_many_records(self):
        snapshot = Snapshot()
        records = b"".join(struct.pack("<16sIII", b"r", i, 1, 0) for i in range(1025))
        records += bytes(-len(records) % PAGE)
        snapshot.data[META:STATE] = records
        snapshot.put(208, "Q", len(snapshot.data))
        snapshot.put(META_LENGTH, "I", 1025 * RECORD)
        snapshot.put(META_CRC, "I", snapshot.crc(META, META + len(records)))
        self.refused(snapshot.seal(), "there are more than 1024 meta records")

    def test_page_outside_of_memory(self):
        for gpa in (0xa0000, 0xff000, 0xcffff000):
            snapshot = Snapshot()
            snapshot.put(CHUNK + 16 + 16, "Q", gpa)
            self.expect(REFUSED, f"page at {gpa:x}h lies outside of the VM's memory",
                        snapshot.seal(CHUNK).data)
            self.expect(WHOLE, "", command="info")

    def split(self, part_bytes):
        """The golden snapshot in files of @part_bytes."""
        snapshot = Snapshot()
        snapshot.put(PART_BYTES, "Q", part_bytes)
        snapshot.seal()
        for i in range(0, len(snapshot.data), part_bytes):
            number = i // part_bytes
            name = f"s1~0.p{number:03}" if number else "s1~0.snap"
            (self.folder / name).write_bytes(snapshot.data[i:i + part_bytes])

    def test_parts(self):
        self.split(2 * PAGE)
        self.expect(WHOLE, "whole")
        # Not one of them.
        (self.folder / "s1~0.p004").write_bytes(b"of an earlier one")
        self.expect(WHOLE, "whole")
        self.assertRegex(self.run_tool("info", self.path).stdout, r"bytes +28672 in 4 files\n")
        part = self.folder / "s1~0.p002"
        whole = part.read_bytes()
        part.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
        self.expect(REFUSED, "page at 9f000h is damaged")
        part.write_bytes(whole[:-1])
        self.expect(REFUSED, "file 3 of 4 has 8191 bytes, must have 8192")
        part.unlink()
        self.expect(REFUSED, "file 3 of 4,")
        part.write_bytes(whole)
        (self.folder / "s1~0.p003").write_bytes(b"")
        self.expect(REFUSED, "the file ends at byte 24576, 4096 bytes are missing")

    def test_parts_of_a_file_of_another_name(self):
        self.split(PAGE)
        self.path = self.path.rename(self.folder / "s1")
        self.expect(REFUSED, "it is in 7 files, but this one's name doesn't end with .snap")

    def test_parts_of_another_snapshot(self):
        self.split(5 * PAGE)
        part = self.folder / "s1~0.p001"
        whole = part.read_bytes()
        part.write_bytes(whole[PAGE:] + whole[:PAGE])
        self.expect(REFUSED, "page at 9f000h is damaged")


if __name__ == "__main__":
    unittest.main()
