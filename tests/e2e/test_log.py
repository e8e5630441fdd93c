"""The log of requests: one line each at debug, with what finds it again, and never a text."""

import json
import pathlib
import re
import tempfile

import harness
from harness import Server, run

TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
SECRET = "nobody may read this in a log"


class Requests(harness.TestCase):
    def embed(self, server, *headers, layer=1, texts=(SECRET,), method=harness.EMBED):
        """grpcurl's output, trailers included."""
        request = {"texts": list(texts), "layer": layer}
        if method.endswith("Stream"):
            request = {"request": request}
        flags = [part for header in headers for part in ("-H", header)]
        return run([self.grpcurl, "-plaintext", "-v", *flags, "-d", json.dumps(request), server.address, method]).stdout

    def setUp(self):
        self.grpcurl = harness.require(self, "grpcurl")

    def test_json_lines_hold_every_fact_by_its_name(self):
        with Server("bert", "--log-format", "json", "--log-level", "debug") as server:
            answer = self.embed(server, f"traceparent: {TRACEPARENT}", "x-request-id: req-1", texts=[SECRET, "b"])
            self.assertIn("x-request-id: req-1", answer)
            self.embed(server, layer=99)
            self.embed(server, method="midlayer.v1.EmbeddingService/EmbedStream")
            _, rest = server.stop()
        self.assertNotIn(SECRET, rest)
        good, bad, streamed = [line for line in map(json.loads, rest.splitlines()) if line["message"] == "request"]
        self.assertEqual((good["method"], good["code"], good["request_id"], good["traceparent"], good["texts"],
                          good["layers"]), ("Embed", "OK", "req-1", TRACEPARENT, 2, [1]))
        self.assertTrue(0 < good["duration_seconds"] < harness.BOUND)
        self.assertRegex(good["peer"], r"^ipv4:127\.0\.0\.1:\d+$")
        self.assertEqual((bad["code"], bad["texts"]), ("INVALID_ARGUMENT", 1))
        self.assertTrue(bad["error"].startswith("layer: expected "), bad)
        self.assertNotIn("traceparent", bad)
        self.assertEqual((streamed["method"], streamed["code"]), ("EmbedStream", "OK"))

    def test_errors_are_logged_without_what_the_caller_wrote(self):
        """Labels, names and lines of data sets are told to the caller, who knows them, and to nobody else."""
        with tempfile.TemporaryDirectory() as folder:
            pathlib.Path(folder, "broken.jsonl").write_text(f'{{"text": "{SECRET}", "label": {SECRET}}}\n')
            with Server("bert", "--log-level", "debug", "--datasets", folder) as server:
                for request in (f'{{"options": {{}}}} {{"example": {{"text": "a", "label": "{SECRET}"}}}}',
                                f'{{"options": {{}}}} {{"example": {{"text": "a", "relevant_ids": ["{SECRET}"]}}}}',
                                '{"options": {"dataset_name": "broken"}}'):
                    done = run([self.grpcurl, "-plaintext", "-d", request, server.address,
                                "midlayer.v1.ScoringService/ScoreLayers"])
                    self.assertIn("expected ", done.stderr)
                done = harness.client("embed", f"--prompt-name={SECRET}", "a", server=server)
                self.assertIn(SECRET, done.stderr)
                _, rest = server.stop()
        self.assertEqual(rest.count("code=INVALID_ARGUMENT"), 4, rest)
        self.assertNotIn(SECRET[:12], rest)

    def test_text_lines_hold_the_same(self):
        with Server("bert", "--log-level", "debug") as server:
            self.embed(server, f"traceparent: {TRACEPARENT}", "x-request-id: req-1")
            _, rest = server.stop()
        self.assertRegex(rest, rf" debug request method=Embed code=OK duration_seconds=\S+ request_id=req-1 "
                               rf"peer=ipv4:127\.0\.0\.1:\d+ traceparent={TRACEPARENT} texts=1 layers=\[1\]\n")

    def test_a_call_without_an_id_is_given_one_and_what_could_forge_a_line_is_not_taken(self):
        with Server("bert", "--log-level", "debug") as server:
            answers = [self.embed(server), self.embed(server, 'x-request-id: a" level=error'),
                       self.embed(server, "traceparent: forged"), self.embed(server, layer=99)]
            _, rest = server.stop()
        ids = [re.search(r"x-request-id: (\w{16})\n", answer).group(1) for answer in answers]
        self.assertEqual(len(set(ids)), 4)
        self.assertEqual(re.findall(r"request_id=(\S+)", rest), ids)
        self.assertNotIn("forged", rest)
        self.assertNotIn("level=error", rest)

    def test_nothing_is_logged_of_requests_at_info(self):
        with Server("bert") as server:
            self.embed(server)
            _, rest = server.stop()
        self.assertNotIn("request", rest)
