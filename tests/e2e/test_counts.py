"""A scripted hour of calls of every kind, and metrics that must add up to what the clients saw."""

import collections
import concurrent.futures
import contextlib
import pathlib
import random
import tempfile
import threading
import time
import unittest

import harness
from harness import Server, require, run

USER, ADMIN = "user-0123456789abcdef", "admin-0123456789abcdef"
BLOCK = 10_000  # texts of one batch, which keeps the model busy for some seconds; see Hour.blocked
ROOM = 100      # texts that still fit into the server beside them
LONG = "the server reads the weights of the model once and runs every layer on the device " * 6
LIMITS = {"--max-texts": BLOCK, "--max-text-bytes": 4096, "--max-waiting-texts": BLOCK + ROOM, "--batch-tokens": 1_000_000,
          "--max-waiting-bytes": 1 << 30, "--threads": 1, "--max-score-runs": 1, "--max-score-examples": 50}
EMBEDDING, SCORING, SELECTION = (f"/midlayer.v1.{name}Service/" for name in ("Embedding", "Scoring", "Selection"))
PROBE = 10  # seconds without a batch after which the server computes a text of its own


class Watch(threading.Thread):
    """Reads the metrics again and again; `fallen` names counters (and sums and counts of histograms) that decreased."""

    def __init__(self, server):
        super().__init__()
        self._server = server
        self._over = threading.Event()
        self.reads = 0
        self.fallen = []
        self.start()

    def run(self):
        before = {}
        while not self._over.wait(0.02):
            now = self._server.series()
            for series, value in before.items():
                if series[0].endswith(("_total", "_count", "_sum", "_bucket")) and now.get(series, 0) < value:
                    self.fallen.append((series, value, now.get(series)))
            before = now
            self.reads += 1

    def end(self):
        self._over.set()
        self.join()


class Hour:
    """The calls of a test. `seen`: how many ended how, by method and code, as the client saw it."""

    def __init__(self, test, server):
        import grpc
        self.grpc = grpc
        self.server = server
        self.test = test
        self.channel = grpc.insecure_channel(server.address, [("grpc.max_receive_message_length", -1),
                                                              ("grpc.max_send_message_length", -1)])
        test.addCleanup(self.channel.close)
        self.protos, services = harness.proto("embedding")
        self.score_protos, score_services = harness.proto("scoring")
        self.select_protos, select_services = harness.proto("selection")
        self.embedding = services.EmbeddingServiceStub(self.channel)
        self.scoring = score_services.ScoringServiceStub(self.channel)
        self.selection = select_services.SelectionServiceStub(self.channel)
        self.lock = threading.Lock()
        self.seen = collections.Counter()
        self.reasons = collections.Counter()
        self.outputs = collections.Counter()
        self.score_runs = collections.Counter()
        self.texts = self.tokens = self.texts_taken = 0

    # What came back.

    def count(self, method, code, reason=None):
        with self.lock:
            self.seen[method, code] += 1
            reason = reason or {"INVALID_ARGUMENT": "invalid", "DEADLINE_EXCEEDED": "deadline", "UNAUTHENTICATED": "unauthorized",
                                "PERMISSION_DENIED": "unauthorized"}.get(code)
            self.reasons[reason] += reason is not None

    def take(self, answer):
        with self.lock:
            self.texts += len(answer.embeddings)
            self.tokens += sum(embedding.tokens for embedding in answer.embeddings)
            pooling = self.protos.EmbedRequest.DESCRIPTOR.fields_by_name["pooling"].enum_type.values_by_number
            for output in answer.outputs:
                name = pooling[output.pooling].name.removeprefix("POOLING_").lower()
                self.outputs[str(max(output.layers)), name] += 1

    # One call each; told how it must end.

    def unary(self, call, request, code, token=USER, reason=None, timeout=harness.BOUND):
        """The answer, None where the call ended otherwise than with OK."""
        metadata = [("authorization", f"Bearer {token}")] if token else []
        path = call._method.decode()
        method = path.rsplit("/", 1)[1]
        answer, found = None, "OK"
        try:
            answer = call(request, timeout=timeout, metadata=metadata)
        except self.grpc.RpcError as error:
            found = error.code().name
        self.test.assertEqual(found, code, f"{path} {str(request)[:200]}")
        self.count(method, code, reason)
        if answer is not None and method == "Embed":
            self.take(answer)
        return answer

    def raw(self, path, data, code, counted=True, token=USER):
        """A call of bytes."""
        found = "OK"
        try:
            self.channel.unary_unary(path)(data, timeout=harness.BOUND, metadata=[("authorization", f"Bearer {token}")])
        except self.grpc.RpcError as error:
            found = error.code().name
        self.test.assertEqual(found, code, path)
        if counted:
            self.count(path.rsplit("/", 1)[1], code)

    def embed(self, code="OK", token=USER, **fields):
        return self.unary(self.embedding.Embed, self.protos.EmbedRequest(**fields), code, token)

    def metadata(self, token=USER):
        return [("authorization", f"Bearer {token}")]

    def stream(self, *requests):
        """A stream of one message for each of (fields, code)."""
        sent = [self.protos.EmbedStreamRequest(request=self.protos.EmbedRequest(**fields)) for fields, _ in requests]
        answers = list(self.embedding.EmbedStream(iter(sent), timeout=harness.BOUND, metadata=self.metadata()))
        self.test.assertEqual(len(answers), len(requests))
        codes = {code.value[0]: code.name for code in self.grpc.StatusCode}
        for answer, (_, code) in zip(answers, requests):
            self.test.assertEqual(codes[answer.error.code], code, answer.error.message)
            self.count("EmbedStream", code)
            if code == "OK":
                self.take(answer.response)

    def refused_stream(self, call, method, code="UNAUTHENTICATED"):
        with self.test.assertRaises(self.grpc.RpcError) as refused:
            list(call(iter([]), timeout=harness.BOUND))
        self.test.assertEqual(refused.exception.code().name, code)
        self.count(method, code)

    def score(self, code, *parts, runs=True, reason=None, token=USER):
        """`parts`: messages. The report."""
        found, report = "OK", None
        try:
            for answer in self.scoring.ScoreLayers(iter(parts), timeout=harness.BOUND, metadata=self.metadata(token)):
                report = answer.report
        except self.grpc.RpcError as error:
            found = error.code().name
        self.test.assertEqual(found, code)
        self.count("ScoreLayers", code, reason)
        self.score_runs[code] += runs
        return report

    def options(self, **fields):
        return self.score_protos.ScoreLayersRequest(options=self.score_protos.ScoreOptions(**fields))

    def examples(self, count):
        return [self.score_protos.ScoreLayersRequest(example=self.score_protos.Example(
            text=f"the model {i}", paired_text=f"a layer {i % 5}", score=i % 3)) for i in range(count)]

    # The script.

    def good_and_bad_embeds(self):
        """Calls in any order, side by side."""
        steps = []
        for i in range(120):
            texts = [f"text {i} {j}" for j in range(1 + i % 4)]
            steps.append(lambda i=i, texts=texts: self.embed(texts=texts, layer=i % 4, pooling=1 + i % 5))
        for i in range(20):
            outputs = [self.protos.OutputSpec(layers=[1, 3], pooling=2), self.protos.OutputSpec(layers=[i % 3], pooling=1)]
            steps.append(lambda outputs=outputs: self.embed(texts=["two", "outputs"], outputs=outputs))
        for fields in [dict(texts=["x"], layer=99), dict(texts=[]), dict(texts=["x" * 5000]), dict(texts=[LONG]),
                       dict(texts=["x"], pooling=77), dict(texts=["x"], dimensions=4096), dict(texts=["x"] * (BLOCK + 1)),
                       dict(texts=["x"], prompt_name="none such"), dict(texts=["x"], pooling=6)]:
            steps += [lambda fields=fields: self.embed("INVALID_ARGUMENT", **fields)] * 4
        steps += [lambda: self.embed("FAILED_PRECONDITION", texts=["x"], expected_selection_id="another")] * 5
        steps += [lambda: self.embed("UNAUTHENTICATED", token=None, texts=["x"])] * 5
        steps += [lambda: self.embed("UNAUTHENTICATED", token="wrong-0123456789abcdef", texts=["x"])] * 5
        for data in (b"\xff\xff\xff", b"\x0a\x02\xc3\x28", b"\x0a\x7fshort"):
            steps += [lambda data=data: self.raw(EMBEDDING + "Embed", data, "INVALID_ARGUMENT")] * 3
        for path in (EMBEDDING + "Nothing", "/midlayer.v1.NoService/Embed", "/other/Method"):
            steps += [lambda path=path: self.raw(path, b"", "UNIMPLEMENTED", counted=False)] * 3
        for i in range(30):
            messages = [(dict(texts=[f"in a stream {i} {j}"] * (1 + j % 3), layer=j % 4), "OK") for j in range(1 + i % 6)]
            bad = [(dict(texts=["x"], layer=99), "INVALID_ARGUMENT"), (dict(texts=[LONG]), "INVALID_ARGUMENT"),
                   (dict(texts=["x"], expected_selection_id="another"), "FAILED_PRECONDITION")]
            steps.append(lambda messages=messages, bad=bad: self.stream(*messages, *bad[:len(messages) % 4], messages[0]))
        steps += [lambda: self.stream()] * 3  # of no message: nothing to count
        steps += [lambda: self.refused_stream(self.embedding.EmbedStream, "EmbedStream")] * 4
        steps += [lambda: self.refused_stream(self.scoring.ScoreLayers, "ScoreLayers")] * 3
        get_model = self.protos.GetModelRequest()
        steps += [lambda: self.unary(self.embedding.GetModel, get_model, "OK")] * 10
        steps += [lambda: self.unary(self.embedding.GetModel, get_model, "UNAUTHENTICATED", token=None)] * 2
        steps += [lambda: self.raw("/grpc.health.v1.Health/Check", b"", "OK", counted=False)] * 10
        steps += [lambda: self.raw("/grpc.health.v1.Health/Check", b"\x0a\x04none", "NOT_FOUND", counted=False)] * 2
        steps += [self.reflection] * 3
        random.Random(1).shuffle(steps)
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            for done in [pool.submit(step) for step in steps]:
                done.result()
        return len(steps)

    def reflection(self):
        call = self.channel.stream_stream("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo")
        answers = list(call(iter([b"\x3a\x01*"]), timeout=harness.BOUND))
        self.test.assertIn(b"midlayer.v1.ScoringService", answers[0])

    def scores_and_selections(self):
        options, examples = self.options(metrics=["pair_spearman"]), self.examples(20)
        report = self.score("OK", options, *examples)
        self.test.assertTrue(self.score("OK", options, *examples).cached)
        one = report.selection.id
        other = self.score("OK", options, *self.examples(25)).selection.id
        self.test.assertNotEqual(one, other)
        self.score("INVALID_ARGUMENT")
        self.score("INVALID_ARGUMENT", *examples[:1], runs=False)
        self.score("INVALID_ARGUMENT", self.options(metrics=["no such"]))
        self.score("INVALID_ARGUMENT", options, options, runs=False)
        self.score("INVALID_ARGUMENT", options, self.score_protos.ScoreLayersRequest(example={"text": ""}), runs=False)
        self.score("NOT_FOUND", self.options(dataset_name="none"))
        self.score("RESOURCE_EXHAUSTED", options, *self.examples(LIMITS["--max-score-examples"] + 1), runs=False, reason="score_size")
        self.score("PERMISSION_DENIED", self.options(metrics=["pair_spearman"], promote=True), runs=False)

        def call(name, code, token=USER, **fields):
            request = getattr(self.select_protos, name + "Request")(**fields)
            return self.unary(getattr(self.selection, name), request, code, token)

        self.test.assertEqual(len(call("ListSelections", "OK").selections), 2)
        call("ListSelections", "UNAUTHENTICATED", token=None)
        call("GetSelection", "OK", id=one)
        call("GetSelection", "NOT_FOUND", id="0" * 64)
        call("PromoteSelection", "PERMISSION_DENIED", id=one)
        call("PromoteSelection", "OK", token=ADMIN, id=one)
        call("PromoteSelection", "FAILED_PRECONDITION", token=ADMIN, id=other, expected_current_id=other)
        self.embed(texts=["by the selection"])
        call("DeleteSelection", "FAILED_PRECONDITION", token=ADMIN, id=one)
        call("DeleteSelection", "PERMISSION_DENIED", id=other)
        call("DeleteSelection", "OK", token=ADMIN, id=other)
        call("PromoteSelection", "OK", token=ADMIN, id="")
        call("DeleteSelection", "OK", token=ADMIN, id=one)

    def blocked(self):
        """While one large batch is computed: calls that wait behind it are cancelled, run out of time, or are refused."""
        def left_queue():
            return sum(self.server.metric(f'midlayer_stage_duration_seconds_count{{priority="{priority}",stage="queue"}}')
                       for priority in ("interactive", "bulk"))

        computed = left_queue()
        blocker = self.embedding.Embed.future(self.protos.EmbedRequest(texts=[LONG] * BLOCK, layer=3, dimensions=1, truncate=3),
                                              metadata=self.metadata())
        # Its texts leave the queue at once, as one batch.
        self.test.assertTrue(harness.eventually(lambda: left_queue() >= computed + BLOCK))

        def waiting():
            return self.server.metric("midlayer_queue_texts")

        small = self.protos.EmbedRequest(texts=["waits"], layer=1)
        wait = [self.embedding.Embed.future(small, metadata=self.metadata()) for _ in range(20)]
        short = [self.embedding.Embed.future(small, timeout=1.5, metadata=self.metadata()) for _ in range(10)]
        over, streams = threading.Event(), []
        for _ in range(8):
            def messages():
                for _ in range(3):
                    yield self.protos.EmbedStreamRequest(request=small)
                over.wait()
            streams.append(self.embedding.EmbedStream(messages(), metadata=self.metadata()))
        arrived = harness.eventually(lambda: waiting() >= 20 + 10 + 24)  # the health probe's text may wait too
        self.test.assertTrue(arrived, waiting())
        score = self.scoring.ScoreLayers(iter([self.options(metrics=["pair_spearman"], refresh=True), *self.examples(20)]),
                                         metadata=self.metadata())
        self.test.assertTrue(harness.eventually(lambda: self.server.metric("midlayer_score_running") == 1))
        self.score("RESOURCE_EXHAUSTED", self.options(), runs=False, reason="score_runs")
        for _ in range(12):
            self.unary(self.embedding.Embed, self.protos.EmbedRequest(texts=["too many"] * ROOM, layer=1), "RESOURCE_EXHAUSTED",
                       reason="queue_full")
        self.unary(self.embedding.GetModel, self.protos.GetModelRequest(), "OK")
        for call in [*wait, *streams, score]:
            call.cancel()
        for call in wait:
            with contextlib.suppress(self.grpc.FutureCancelledError):
                call.result()
            self.test.assertEqual(call.code().name, "CANCELLED")
            self.count("Embed", "CANCELLED")
        for call in short:
            self.test.assertEqual(call.code().name, "DEADLINE_EXCEEDED")
            self.count("Embed", "DEADLINE_EXCEEDED")
        over.set()
        for call in streams:
            self.test.assertEqual(call.code().name, "CANCELLED")
            for _ in range(3):
                self.count("EmbedStream", "CANCELLED")
        self.test.assertEqual(score.code().name, "CANCELLED")
        self.count("ScoreLayers", "CANCELLED")
        self.score_runs["CANCELLED"] += 1
        self.test.assertFalse(blocker.done(), "nothing was blocked: raise BLOCK")
        self.take(blocker.result())
        self.count("Embed", "OK")


class Counts(harness.GrpcCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory(prefix="midlayer-")
        self.addCleanup(directory.cleanup)
        tokens = pathlib.Path(directory.name) / "tokens"
        tokens.write_text(f"ann {USER}\nroot {ADMIN} admin\n")
        limits = [part for limit in LIMITS.items() for part in limit]
        self.server = Server("bert", "--token-file", tokens, "--datasets", directory.name, *limits)
        self.addCleanup(self.server.close)

    def by(self, series, name, *labels):
        """The values of a family by the values of these labels, summed over the others."""
        values = collections.Counter()
        for (family, found), value in series.items():
            if family == name:
                values[tuple(dict(found)[label] for label in labels)] += value
        return values

    def test_metrics_add_up_to_what_the_clients_saw(self):
        """Every call and every message of a stream is counted once, under the code that its client saw."""
        start = time.monotonic()
        hour = Hour(self, self.server)
        watch = Watch(self.server)
        try:
            hour.good_and_bad_embeds()
            hour.scores_and_selections()
            hour.blocked()

            # Calls that were cancelled end a moment later in the server than for the client.
            def total():
                return sum(self.by(self.server.series(), "midlayer_requests_total", "method", "code").values())

            self.assertTrue(harness.eventually(lambda: total() >= sum(hour.seen.values()), 20), (total(), hour.seen))
            self.assertTrue(harness.eventually(lambda: self.server.metric("midlayer_waiting_texts") == 0))
        finally:
            watch.end()
        series = self.server.series()
        took = time.monotonic() - start
        self.assertEqual(watch.fallen, [])
        self.assertGreater(watch.reads, 10)
        harness.figures(f"{sum(hour.seen.values())} calls and messages, {hour.texts} texts, {watch.reads} readings in {took:.1f} s")

        found = self.by(series, "midlayer_requests_total", "method", "code")
        # A call that runs out of time is ended by both sides: the server may hear the client's end of it first.
        late = [("Embed", "DEADLINE_EXCEEDED"), ("Embed", "CANCELLED")]
        self.assertEqual(sum(found.get(key, 0) for key in late), sum(hour.seen[key] for key in late))
        self.assertGreaterEqual(found[late[1]], hour.seen[late[1]])
        server_deadlines = found.pop(late[0], 0)
        found.pop(late[1])
        self.assertEqual(found, {key: count for key, count in hour.seen.items() if key not in late})

        counts = self.by(series, "midlayer_requests_total", "method", "code")
        self.assertEqual(self.by(series, "midlayer_request_duration_seconds_count", "method", "code"), counts)
        unbounded = {key[:2]: value for key, value in
                     self.by(series, "midlayer_request_duration_seconds_bucket", "method", "code", "le").items() if key[2] == "+Inf"}
        self.assertEqual(unbounded, counts)
        self.assertEqual(self.by(series, "midlayer_embed_duration_seconds_count", "layer", "pooling"), dict(hour.outputs))

        reasons = hour.reasons - collections.Counter(["deadline"] * hour.reasons["deadline"])
        reasons["deadline"] = server_deadlines
        rejected = self.by(series, "midlayer_rejected_total", "reason")
        self.assertEqual({reason: count for (reason,), count in rejected.items() if count}, {r: n for r, n in reasons.items() if r and n})
        self.assertEqual({code: n for (code,), n in self.by(series, "midlayer_score_runs_total", "code").items() if n},
                         {code: n for code, n in hour.score_runs.items() if n})

        value = {name: number for (name, labels), number in series.items() if not labels}
        # Where the model had nothing to do for a while, the server has computed a word of its own.
        own = value["midlayer_texts_total"] - hour.texts
        self.assertIn(own, range(int(took / PROBE) + 1))
        self.assertEqual(value["midlayer_tokens_total"] - hour.tokens, own * self.own_tokens(hour))
        self.assertEqual(value["midlayer_batch_rows_sum"], value["midlayer_texts_total"])
        self.assertEqual(value["midlayer_batch_tokens_sum"], value["midlayer_tokens_total"])
        self.assertEqual(value["midlayer_batch_rows_count"], value["midlayer_batch_tokens_count"])
        stages = self.by(series, "midlayer_stage_duration_seconds_count", "stage")
        self.assertEqual(stages["queue",], value["midlayer_texts_total"])
        self.assertEqual(stages["forward",], value["midlayer_batch_rows_count"])
        self.assertEqual(value["midlayer_waiting_texts_limit"], LIMITS["--max-waiting-texts"])
        self.assertEqual(value["midlayer_batch_tokens_limit"], LIMITS["--batch-tokens"])
        for gauge in ("midlayer_waiting_texts", "midlayer_queue_texts", "midlayer_queue_tokens", "midlayer_score_running",
                      "midlayer_score_progress_ratio"):
            self.assertEqual(value[gauge], 0, gauge)
        self.assertEqual(value["midlayer_selection_switches_total"], 2)

        done = run([require(self, "promtool"), "check", "metrics"], input=self.server.metrics())
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "", ""))
        self.assertEqual(self.server.stop()[0], 0)

    def own_tokens(self, hour):
        """How many tokens the text has with which the server looks after itself."""
        return hour.embedding.Embed(hour.protos.EmbedRequest(texts=["health"], layer=1), metadata=hour.metadata()).embeddings[0].tokens


if __name__ == "__main__":
    unittest.main()
