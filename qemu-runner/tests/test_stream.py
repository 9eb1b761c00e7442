# SPDX-License-Identifier: MIT
import unittest

from anew_runner.stream import EVENT_MAX, Demux, Event, Malformed, Output


def texts(items, vm):
    return "".join(item.text for item in items if isinstance(item, Output) and item.vm == vm)


FOCUS_DEMO = b'\x1e{"event":"focus","vm":"demo"}\n'
FOCUS_MONITOR = b'\x1e{"event":"focus","vm":null}\n'


class DemuxTest(unittest.TestCase):
    def test_output_is_the_monitors_first(self):
        self.assertEqual(Demux().feed(b"BdsDxe\r\n"), [Output(None, "BdsDxe\r\n")])

    def test_focus_says_whose_output_it_is(self):
        demux = Demux()
        items = demux.feed(b"m1 " + FOCUS_DEMO + b"g1 " + FOCUS_MONITOR + b"m2")
        self.assertEqual(texts(items, None), "m1 m2")
        self.assertEqual(texts(items, "demo"), "g1 ")
        self.assertIsNone(demux.focus)

    def test_an_event_within_a_line_leaves_the_line_whole(self):
        demux = Demux()
        items = demux.feed(FOCUS_DEMO + b'half\x1e{"event":"genid","vm":"demo"}\n way\n')
        self.assertEqual(texts(items, "demo"), "half way\n")
        self.assertIn(Event({"event": "genid", "vm": "demo"}), items)

    def test_pieces_of_any_size_give_the_same(self):
        stream = "ä".encode() + FOCUS_DEMO + "grün\n€".encode() + FOCUS_MONITOR + b"x"
        whole = Demux().feed(stream)
        for size in range(1, 9):
            demux, items = Demux(), []
            for start in range(0, len(stream), size):
                items += demux.feed(stream[start:start + size])
            with self.subTest(size=size):
                for vm in (None, "demo"):
                    self.assertEqual(texts(items, vm), texts(whole, vm))
                self.assertEqual([item for item in items if isinstance(item, Event)],
                                 [item for item in whole if isinstance(item, Event)])

    def test_an_event_may_end_in_a_return(self):
        self.assertEqual(Demux().feed(b'\x1e{"event":"prompt"}\r\n'),
                         [Event({"event": "prompt"})])

    def test_what_is_no_event(self):
        for raw in (b"{", b"[1]", b'{"vm":"demo"}', b'{"event":1}', b"", b"\xff",
                    b'{"event":"focus","vm":3}', b'\x1e{"event":"prompt"}'):
            with self.subTest(raw=raw):
                demux = Demux()
                items = demux.feed(b"\x1e" + raw + b"\nafter")
                self.assertEqual(len(items), 2)
                self.assertIsInstance(items[0], Malformed)
                self.assertEqual(items[1], Output(None, "after"))

    def test_an_event_without_end_is_given_up(self):
        items = Demux().feed(b"\x1e" + b"x" * (EVENT_MAX + 1))
        items_after = [type(item) for item in items]
        self.assertEqual(items_after, [Malformed])

    def test_a_cut_character_is_not_carried_to_the_next_guest(self):
        items = Demux().feed(b"\xc3" + FOCUS_DEMO + b"\xa4")
        self.assertNotIn("ä", texts(items, "demo"))


if __name__ == "__main__":
    unittest.main()
