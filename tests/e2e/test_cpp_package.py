"""client/cpp as its users meet it: installed, found by another project, and run against a real server."""

import pathlib
import re
import subprocess
import tempfile

import harness
from harness import BINARY, SOURCE, TEXTS, Server, embed_lines, environment, run

CONSUMER = SOURCE / "tests/client/cpp/consumer"
LINES = [text for text in TEXTS if text] + [f"text number {number} of many" for number in range(15)]
TOLERANCE = 1e-6  # of values: the same text beside others may differ in the last bits


def lines_of(code):
    """Lines without their indentation."""
    return [line.strip() for line in code.strip().splitlines()]


class Package(harness.TestCase):
    @classmethod
    def setUpClass(cls):
        directory = tempfile.TemporaryDirectory(prefix="midlayer-")
        cls.addClassCleanup(directory.cleanup)
        cls.prefix = pathlib.Path(directory.name) / "prefix"
        cls.build = pathlib.Path(directory.name) / "build"
        for command in (["cmake", "--install", BINARY, "--prefix", cls.prefix],
                        ["cmake", "-S", CONSUMER, "-B", cls.build, "-G", "Ninja", f"-DCMAKE_PREFIX_PATH={cls.prefix}"],
                        ["cmake", "--build", cls.build]):
            done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=200)
            assert done.returncode == 0, done.stdout + done.stderr

    def example(self, *arguments, **options):
        done = run([self.build / arguments[0], *arguments[1:]], cwd=self.prefix, **options)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done

    def test_the_examples_run(self):
        with Server("bert") as server:
            self.assertRegex(self.example("embed", server.address).stdout,
                             r"^2 texts, \d+ dimensions, layer 2, mean, cosine 0\.\d+\n$")
            self.assertEqual(self.example("examples", "outputs", server.address).stdout, "1 x 16\n")
            self.assertRegex(self.example("examples", "score", server.address).stdout, r"^layer \d, \w+ confidence: ")
            self.assertRegex(self.example("examples", "refused", server.address).stdout,
                             r"^layer: expected 0 to .*, found 99\n$")
            self.assertEqual(self.example("examples", "servers").stdout,
                             "tls.ca: ca.pem: file not found or not readable\n")

    def test_vectors_are_those_of_the_command_line(self):
        long = "long " * 1000
        with Server("bert") as server:
            expected = [line["embedding"] for line in embed_lines(server, LINES)]
            texts = [*LINES[:5], long, *LINES[5:]]
            done = self.example("examples", "stream", server.address, input="".join(text + "\n" for text in texts))
        self.assertIn("INVALID_ARGUMENT: texts[5]: expected at most", done.stderr)
        self.assertIn("(texts 0 to 7 got no vectors)", done.stderr)
        rows = [line.split(" ") for line in done.stdout.splitlines()]
        self.assertEqual([int(row[0]) for row in rows], list(range(8, len(texts))))
        for row, vector in zip(rows, expected[7:], strict=True):
            for found, value in zip(row[1:], vector, strict=True):
                self.assertAlmostEqual(float(found), value, delta=TOLERANCE)

    def test_the_readme_shows_what_is_built_here(self):
        blocks = re.findall(r"(?ms)^```cpp\n(.*?)^```", (SOURCE / "client/cpp/README.md").read_text())
        self.assertEqual(len(blocks), 6)
        self.assertEqual(blocks[0], (CONSUMER / "embed.cc").read_text())
        examples = "\n".join(lines_of((CONSUMER / "examples.cc").read_text()))
        for block in blocks[1:]:
            self.assertIn("\n".join(lines_of(block)), examples)

    def test_what_is_installed_needs_no_repository(self):
        files = [path for path in self.prefix.rglob("*") if path.suffix in (".h", ".cmake")]
        self.assertGreater(len(files), 15)
        for path in files:
            content = path.read_text()
            for place in (SOURCE, BINARY, "server/", "client/cpp"):
                self.assertNotIn(str(place), content, path)
        self.assertFalse([path for path in files if "health" in path.name])

    def test_the_library_alone_needs_neither_torch_nor_rust(self):
        with tempfile.TemporaryDirectory(prefix="midlayer-") as build:
            plain = environment({"HOME": build, "PATH": "/usr/local/bin:/usr/bin:/bin"})
            done = run(["cmake", "-S", SOURCE, "-B", build, "-G", "Ninja", "-DMIDLAYER_CLIENT_ONLY=ON",
                        "-DMIDLAYER_DEPS_DIR=/nonexistent"], env=plain)
            self.assertEqual(done.returncode, 0, done.stderr)
            cache = (pathlib.Path(build) / "CMakeCache.txt").read_text()
            for name in ("CARGO", "Torch", "Boost", "spdlog", "GTest"):
                self.assertNotIn(name, cache)
