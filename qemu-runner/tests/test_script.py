# SPDX-License-Identifier: MIT
import unittest

from anew_runner.errors import CouldNotRun
from anew_runner.script import DEFAULT_TIMEOUT, parse


class ParseTest(unittest.TestCase):
    def one(self, line):
        steps = parse(line)
        self.assertEqual(len(steps), 1)
        return steps[0]

    def test_comments_and_empty_lines_count_as_lines(self):
        steps = parse("# first\n\n  \nkill\n")
        self.assertEqual([(step.line, step.verb) for step in steps], [(4, "kill")])

    def test_guest_takes_the_rest_of_the_line(self):
        self.assertEqual(self.one("guest echo 5  # not a comment").argument,
                         "echo 5  # not a comment")
        self.assertEqual(self.one("guest").argument, "")

    def test_monitor(self):
        self.assertEqual(self.one("monitor restore s1 --intent rollback").argument,
                         "restore s1 --intent rollback")

    def test_expect_with_and_without_seconds(self):
        step = self.one("expect 90 anew-demo: ready")
        self.assertEqual((step.timeout, step.argument.pattern), (90.0, "anew-demo: ready"))
        step = self.one("expect ^[0-9a-f]{32}$")
        self.assertEqual((step.timeout, step.argument.pattern),
                         (DEFAULT_TIMEOUT, "^[0-9a-f]{32}$"))
        self.assertTrue(step.argument.search("first\n" + "a" * 32 + "\nlast"))
        self.assertEqual(self.one("expect-monitor 0.5 x").timeout, 0.5)

    def test_a_number_alone_is_the_pattern(self):
        step = self.one("expect 42")
        self.assertEqual((step.timeout, step.argument.pattern), (DEFAULT_TIMEOUT, "42"))

    def test_event(self):
        step = self.one('event 5 vm vm=demo state=failed "cause=triple fault"')
        self.assertEqual((step.timeout, step.argument), (5.0, "vm"))
        self.assertEqual(step.match,
                         (("vm", "demo"), ("state", "failed"), ("cause", "triple fault")))

    def test_mistakes_name_file_and_line(self):
        for line, words in (("gest x", "no verb 'gest'"), ("expect", "needs something"),
                            ("monitor", "needs something"), ("expect [", "regular expression"),
                            ("event vm demo", "no key=value"), ("kill it", "takes nothing"),
                            ("event 'vm", "quotation")):
            with self.subTest(line=line):
                with self.assertRaises(CouldNotRun) as caught:
                    parse("# one\n" + line, "some.script")
                self.assertIn("some.script:2: ", str(caught.exception))
                self.assertIn(words, str(caught.exception))

    def test_nothing_to_do_is_a_mistake(self):
        with self.assertRaises(CouldNotRun):
            parse("# nothing\n")


if __name__ == "__main__":
    unittest.main()
