"""Tools that others use: grpcurl, promtool, plain grpcio."""

import json
import math
import os
import pathlib
import re
import unittest

import harness
from harness import EMBED, TEXTS, Server, grpcurl, run


class Grpcurl(harness.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server()
        cls.addClassCleanup(cls.server.close)

    def test_lists_and_describes_by_reflection(self):
        services = grpcurl(self, self.server, "list")
        self.assertEqual(services.returncode, 0, services.stderr)
        self.assertEqual(sorted(services.stdout.split()),
                         ["grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection",
                          "midlayer.v1.EmbeddingService", "midlayer.v1.ScoringService", "midlayer.v1.SelectionService"])
        methods = grpcurl(self, self.server, "list", "midlayer.v1.EmbeddingService")
        self.assertEqual([line.rsplit(".", 1)[1] for line in methods.stdout.split()], ["Embed", "EmbedStream", "GetModel"])
        for symbol, part in [("midlayer.v1.EmbeddingService", "rpc Embed ( .midlayer.v1.EmbedRequest )"),
                             ("midlayer.v1.EmbedRequest", "repeated string texts = 1;"),
                             ("midlayer.v1.Pooling", "POOLING_WEIGHTED_MEAN = 5;")]:
            described = grpcurl(self, self.server, "describe", symbol)
            self.assertEqual(described.returncode, 0, described.stderr)
            self.assertIn(part, described.stdout)

    def test_embeds(self):
        done = grpcurl(self, self.server, EMBED, data={"texts": TEXTS, "layer": 2, "pooling": "POOLING_MEAN"})
        self.assertEqual(done.returncode, 0, done.stderr)
        answer = json.loads(done.stdout)
        self.assertEqual(len(answer["embeddings"]), len(TEXTS))
        for embedding in answer["embeddings"]:
            values = embedding["vectors"][0]["values"]
            self.assertEqual(len(values), 32)
            self.assertAlmostEqual(math.hypot(*values), 1, places=5)
        self.assertEqual(answer["outputs"][0]["layers"], [2])
        self.assertEqual(answer["outputs"][0]["layer_source"], "LAYER_SOURCE_REQUEST")

    def test_streams(self):
        data = "\n".join(json.dumps({"request": {"texts": [text], "layer": layer}})
                         for text, layer in [("a", 1), ("b", 9), ("c", 3)])
        done = run([harness.require(self, "grpcurl"), "-plaintext", "-d", "@", self.server.address,
                    "midlayer.v1.EmbeddingService/EmbedStream"], input=data)
        self.assertEqual(done.returncode, 0, done.stderr)
        answers, rest = [], done.stdout.strip()
        while rest:
            answer, end = json.JSONDecoder().raw_decode(rest)
            answers.append(answer)
            rest = rest[end:].strip()
        self.assertEqual([list(answer) for answer in answers], [["response"], ["error"], ["response"]])
        self.assertEqual(answers[1]["error"]["code"], 3)
        self.assertIn("found 9", answers[1]["error"]["message"])

    def test_errors_have_their_code(self):
        for data, code, name, part in [
            ({"texts": ["x"], "layer": 99}, 3, "InvalidArgument", "layer: expected 0 to 3 or -4 to -1, found 99"),
            ({"texts": ["x"], "expected_selection_id": "s"}, 9, "FailedPrecondition", "expected_selection_id"),
        ]:
            done = grpcurl(self, self.server, EMBED, data=data)
            self.assertEqual(done.returncode, 64 + code, done.stderr)
            self.assertIn(f"Code: {name}", done.stderr)
            self.assertIn(part, done.stderr)
        done = grpcurl(self, self.server, "midlayer.v1.SelectionService/GetSelection", data={"id": "0" * 64})
        self.assertEqual(done.returncode, 64 + 5, done.stderr)

    def test_selections_are_seen_through_reflection(self):
        done = grpcurl(self, self.server, "midlayer.v1.SelectionService/ListSelections")
        self.assertEqual((done.returncode, json.loads(done.stdout)), (0, {}), done.stderr)

    def test_checks_health(self):
        for data, status in [({}, "SERVING"), ({"service": "midlayer.v1.EmbeddingService"}, "SERVING"),
                             ({"service": "midlayer.v1.ScoringService"}, "SERVING")]:
            done = grpcurl(self, self.server, "grpc.health.v1.Health/Check", data=data)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertEqual(json.loads(done.stdout), {"status": status})


class Prometheus(harness.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server()
        cls.addClassCleanup(cls.server.close)
        harness.embed_lines(cls.server, TEXTS[:5])
        harness.client("embed", "--layer=99", "x", server=cls.server)

    def test_calls_are_counted(self):
        self.assertEqual(self.server.metric('midlayer_requests_total{code="OK",method="EmbedStream"}'), 1)
        self.assertEqual(self.server.metric('midlayer_requests_total{code="INVALID_ARGUMENT",method="EmbedStream"}'), 1)
        self.assertEqual(self.server.metric("midlayer_texts_total"), 5)
        metrics = self.server.metrics()
        self.assertRegex(metrics, r'(?m)^midlayer_layer_forward_seconds_count\{layer="2"\} 1$')
        self.assertNotRegex(metrics, r'(?m)^midlayer_layer_forward_seconds_count\{layer="3"\}')
        self.assertIn(f'fingerprint="{self.server.facts["fingerprint"]}"', metrics)

    def test_promtool_finds_nothing_to_say(self):
        done = run([harness.require(self, "promtool"), "check", "metrics"], input=self.server.metrics())
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "", ""))


class PlainPython(harness.TestCase):
    def test_the_client_of_readme_works(self):
        python = os.environ.get("MIDLAYER_TEST_PYTHON")
        if not python:
            harness.absent(self, "MIDLAYER_TEST_PYTHON names no Python with tests/e2e/requirements.txt")
        root = pathlib.Path(__file__).resolve().parents[2]
        script = re.search(r"(?ms)^```python\n(.*?)^```", (root / "README.md").read_text()).group(1)
        text = re.search(r'texts=\["(.*?)"\]', script).group(1)
        layer = re.search(r"layer=(\d+)", script).group(1)
        with Server() as server:
            script = script.replace("127.0.0.1:50051", server.address)
            done = run([python, "-c", script], cwd=root / "proto")
            self.assertEqual(done.returncode, 0, done.stderr)
            expected = harness.embed_lines(server, [text], layer=layer)[0]["embedding"]
            for value, other in zip(json.loads(done.stdout), expected[:4], strict=True):
                self.assertAlmostEqual(value, other, places=6)


if __name__ == "__main__":
    unittest.main()
