"""The command `midlayer` against the real server."""

import ast
import json
import math
import pathlib
import struct
import subprocess
import tempfile
import unittest

import harness
from harness import MODELS, TEXTS, Server, client


def golden_rows(name, model="bert"):
    """A matrix of a golden file, as rows."""
    raw = (MODELS / model / "golden.safetensors").read_bytes()
    size = struct.unpack("<Q", raw[:8])[0]
    info = json.loads(raw[8:8 + size])[name]
    begin, end = (8 + size + offset for offset in info["data_offsets"])
    width = info["shape"][1]
    values = struct.unpack(f"<{(end - begin) // 4}f", raw[begin:end])
    return [values[row:row + width] for row in range(0, len(values), width)]


def read_npy(raw):
    """Rows of a .npy file of float32."""
    assert raw[:8] == b"\x93NUMPY\x01\x00", raw[:8]
    size = struct.unpack("<H", raw[8:10])[0]
    header = ast.literal_eval(raw[10:10 + size].decode())
    assert header["descr"] == "<f4" and not header["fortran_order"], header
    rows, width = header["shape"]
    values = struct.unpack(f"<{rows * width}f", raw[10 + size:])
    return [values[row * width:(row + 1) * width] for row in range(rows)]


class Embed(harness.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server()
        cls.addClassCleanup(cls.server.close)

    def embed(self, *arguments, **options):
        return client("embed", "--layer=2", "--pooling=mean", "--normalize=false", *arguments, server=self.server, **options)

    def assertClose(self, found, expected):
        self.assertEqual(len(found), len(expected))
        for a, b in zip(found, expected):
            self.assertTrue(math.isclose(a, b, abs_tol=1e-4), f"{a} {b}")

    def test_json_of_arguments(self):
        done = self.embed(*TEXTS[:5])
        self.assertEqual(done.returncode, 0, done.stderr)
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        for text, line, row in zip(TEXTS[:5], lines, golden_rows("pooled.raw.mean.2"), strict=False):
            self.assertEqual((line["text"], line["layer"], line["pooling"]), (text, 2, "mean"))
            self.assertClose(line["embedding"], row)
        self.assertEqual(len(lines), 5)

    def test_npy_into_a_pipe_and_into_a_file_is_the_same(self):
        lines = "".join(text + "\n" for text in TEXTS[:5]).encode()
        piped = self.embed("--output=npy", "-", input=lines, text=False)
        self.assertEqual(piped.returncode, 0, piped.stderr)
        rows = read_npy(piped.stdout)
        self.assertEqual(len(rows), 5)
        for row, expected in zip(rows, golden_rows("pooled.raw.mean.2")):
            self.assertClose(row, expected)
        with tempfile.TemporaryDirectory() as directory:
            source, target = pathlib.Path(directory, "texts.txt"), pathlib.Path(directory, "vectors.npy")
            source.write_bytes(lines)
            with target.open("wb") as out:
                subprocess.run([harness.CLI, "embed", f"--target={self.server.address}", "--layer=2", "--pooling=mean",
                                "--normalize=false", "--output=npy", f"--input={source}"],
                               stdout=out, check=True, timeout=harness.BOUND, env=harness.environment())
            self.assertEqual(target.read_bytes(), piped.stdout)

    def test_table_shows_the_cosines(self):
        done = self.embed("--output=table", TEXTS[0], TEXTS[1])
        self.assertEqual(done.returncode, 0, done.stderr)
        a, b = golden_rows("pooled.raw.mean.2")[:2]
        cosine = sum(x * y for x, y in zip(a, b)) / math.hypot(*a) / math.hypot(*b)
        self.assertIn(TEXTS[0], done.stdout)
        self.assertIn("1.000", done.stdout)
        self.assertIn(f"{cosine:.3f}", done.stdout)

    def test_jsonl_from_standard_input(self):
        lines = "".join(json.dumps({"id": i, "text": text}) + "\n" for i, text in enumerate(TEXTS))
        done = self.embed("--input-format=jsonl", "-", input=lines)
        self.assertEqual(done.returncode, 0, done.stderr)
        answers = [json.loads(line) for line in done.stdout.splitlines()]
        self.assertEqual([answer["text"] for answer in answers], TEXTS)  # the empty one too
        for answer, row in zip(answers, golden_rows("pooled.raw.mean.2")):
            self.assertClose(answer["embedding"], row)

    def test_order_of_two_thousand_lines(self):
        texts = [f"{TEXTS[(i * i) % 5]}" for i in range(2000)]
        done = self.embed("--batch=7", "-", input="".join(text + "\n" for text in texts))
        self.assertEqual(done.returncode, 0, done.stderr)
        answers = [json.loads(line) for line in done.stdout.splitlines()]
        self.assertEqual([answer["text"] for answer in answers], texts)
        rows = golden_rows("pooled.raw.mean.2")
        for i, answer in enumerate(answers):
            self.assertClose(answer["embedding"], rows[(i * i) % 5])

    def test_a_line_too_long_among_good_ones(self):
        lines = [TEXTS[0]] * 40
        lines[25] = "a " * 100
        done = self.embed("--batch=16", "-", input="".join(line + "\n" for line in lines))
        self.assertEqual(done.returncode, 1)
        self.assertIn("line 26: expected at most 66 tokens, found 102", done.stderr)
        self.assertIn("1 of 40 texts failed", done.stderr)
        answers = [json.loads(line) for line in done.stdout.splitlines()]
        self.assertEqual(len(answers), 39)
        for answer in answers:
            self.assertEqual(answer["text"], TEXTS[0])
        truncated = self.embed("--truncate=right", "-", input=lines[25] + "\n")
        self.assertEqual(truncated.returncode, 0)
        self.assertTrue(json.loads(truncated.stdout)["truncated"])

    def test_the_selected_layer_is_the_last_one_where_none_is_promoted(self):
        done = client("embed", "--layer=selected", "x", server=self.server)
        self.assertEqual(json.loads(done.stdout)["layer"], 3)


class Others(harness.TestCase):
    def test_similarity(self):
        with Server() as server:
            done = client("similarity", "--layer=1,3", "--pooling=mean", TEXTS[0], TEXTS[1], server=server)
            self.assertEqual(done.returncode, 0, done.stderr)
            for layer in (1, 3):
                a, b = golden_rows(f"pooled.raw.mean.{layer}")[:2]
                cosine = sum(x * y for x, y in zip(a, b)) / math.hypot(*a) / math.hypot(*b)
                self.assertIn(f"{cosine:.3f}", done.stdout)

    def test_info(self):
        with Server("sentence") as server:
            done = client("info", server=server)
            self.assertEqual(done.returncode, 0, done.stderr)
            for part in ("sentence", "bert", "weighted_mean", "query: "):
                self.assertIn(part, done.stdout)
            model = json.loads(client("info", "--output=json", server=server).stdout)
            self.assertEqual(model["fingerprints"][-1], server.facts["fingerprint"])

    def test_health_and_exit_codes(self):
        with Server() as server:
            done = client("health", server=server)
            self.assertEqual((done.returncode, done.stdout), (0, "SERVING\n"))
            done = client("health", "--service=midlayer.v1.ScoringService", server=server)
            self.assertEqual((done.returncode, done.stdout), (0, "SERVING\n"))
            self.assertEqual(client("health", "--service=midlayer.v1.NoService", server=server).returncode, 1)
            self.assertEqual(client("embed", "--layer=99", "x", server=server).returncode, 1)
            self.assertEqual(client("embed", "--layer=x", "x", server=server).returncode, 2)
            self.assertEqual(client("embed", "--nonsense", "x", server=server).returncode, 2)
            address = server.address
        for command in (["embed", "x"], ["health"], ["info"], ["similarity", "a", "b"]):
            done = client(command[0], f"--target={address}", *command[1:])
            self.assertEqual(done.returncode, 3, done.stderr)
            self.assertIn(address, done.stderr)


if __name__ == "__main__":
    unittest.main()
