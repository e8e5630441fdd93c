"""The shells complete midlayer's command lines, by what `midlayer completion` prints."""

import pathlib
import subprocess
import tempfile
import unittest

import harness
from harness import CLI, environment, run

BY_FUNCTION = """
COMP_WORDS=({words})
COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
_midlayer
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


class Completion(unittest.TestCase):
    def script(self, shell):
        done = run([CLI, "completion", shell])
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        return done.stdout

    def output(self, shell, script):
        with tempfile.TemporaryDirectory() as home:
            done = subprocess.run([harness.require(self, shell)], input=script, capture_output=True, text=True,
                                  timeout=harness.BOUND, env=environment({"HOME": home}))
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        return done.stdout.split("\n")[:-1]

    def check(self, complete):
        """`complete` maps the words typed, the last one unfinished, to what may follow."""
        self.assertIn("embed", complete("midlayer", ""))
        self.assertIn("--version", complete("midlayer", "--v"))
        self.assertEqual(complete("midlayer", "sim"), ["similarity"])
        self.assertEqual(complete("midlayer", "embed", "--pool"), ["--pooling"])
        self.assertEqual(sorted(complete("midlayer", "embed", "--layer", "3", "--pooling", "m")), ["max", "mean"])
        self.assertEqual(complete("midlayer", "selections", "pro"), ["promote"])
        self.assertEqual(complete("midlayer", "selections", "promote", "--for"), ["--force"])
        self.assertEqual(complete("midlayer", "embed", "--input", "test_comp"), ["test_completion.py"])
        self.assertEqual(complete("midlayer", "completion", "--ver"), [])

    def test_bash(self):
        script = self.script("bash")

        def complete(*words):
            quoted = " ".join(f"'{word}'" for word in words)
            return [word for word in self.output("bash", script + BY_FUNCTION.format(words=quoted)) if word]

        self.check(complete)
        self.assertEqual(complete("midlayer", "embed", "--pooling", "=", "cl"), ["cls"])
        with tempfile.TemporaryDirectory() as folder:
            pathlib.Path(folder, "two words.txt").touch()
            self.assertEqual(complete("midlayer", "embed", "--input", f"{folder}/t"), [f"{folder}/two words.txt"])
        self.assertEqual(sorted(complete("midlayer", "embed", "--state", "=")), ["normed", "raw"])

    def test_zsh(self):
        script = self.script("zsh")

        def complete(*words):
            quoted = " ".join(f"'{word}'" for word in words)
            # As zsh calls functions that were written for bash.
            begin = "autoload -U compinit && compinit -u -D\n" + script + "emulate sh; setopt kshglob noshglob braceexpand nosh_word_split\n"
            found = self.output("zsh", begin + BY_FUNCTION.format(words=quoted))
            return [word for word in found if word and word.startswith(words[-1])]  # zsh itself picks by what was typed

        self.check(complete)
        self.assertEqual(complete("midlayer", "embed", "--pooling=cl"), ["--pooling=cls"])

    def test_fish(self):
        script = self.script("fish")

        def complete(*words):
            line = " ".join(words)
            found = self.output("fish", script + f"\ncomplete -C '{line}'\n")
            return [word.split("\t")[0] for word in found if word]

        self.check(complete)
        self.assertEqual(complete("midlayer", "embed", "--pooling=cl"), ["--pooling=cls"])
