"""SIGTERM under load, many times: every call is answered or refused, and none is lost between."""

import collections
import contextlib
import itertools
import os
import random
import signal
import threading
import time
import unittest

import harness
from harness import Server

ROUNDS = int(os.environ.get("MIDLAYER_TEST_DRAIN_ROUNDS", "50"))
UNARY, STREAMS = 6, 2  # clients of each kind
DRAIN = 20             # seconds, far more than what is under way takes
ENOUGH = 120           # seconds after which fewer rounds will do, on a machine that has something else to do


class Load:
    """Clients that call without a pause until they are refused; `ends` counts how their calls ended, by kind and code."""

    def __init__(self, address):
        import grpc
        self._grpc = grpc
        self._address = address
        self._protos, self._services = harness.proto("embedding")
        self.ends = collections.Counter()
        self.answered = 0
        self.wrong = []
        self._lock = threading.Lock()
        kinds = [self._unary] * UNARY + [self._stream] * STREAMS
        self._threads = [threading.Thread(target=self._client, args=(kind, number)) for number, kind in enumerate(kinds)]
        for thread in self._threads:
            thread.start()

    def join(self):
        for thread in self._threads:
            thread.join(harness.BOUND)
            assert not thread.is_alive(), "a call does not end"

    def _client(self, kind, number):
        with self._grpc.insecure_channel(self._address, [("grpc.use_local_subchannel_pool", 1)]) as channel:
            stub = self._services.EmbeddingServiceStub(channel)
            refused = 0
            for i in itertools.count():
                request = self._protos.EmbedRequest(texts=[f"text {number} {i} {j}" for j in range(1 + i % 3)], layer=i % 4)
                try:
                    kind(stub, request)
                    code = "OK"
                except self._grpc.RpcError as error:
                    code = error.code().name
                    if code not in ("UNAVAILABLE", "CANCELLED"):
                        self.wrong.append(f"{kind.__name__}: {code}: {error.details()}")
                with self._lock:
                    self.ends[kind.__name__.strip("_"), code] += 1
                # Refused once could be a connection that ended under the call; refused again: nobody is there.
                refused = refused + 1 if code != "OK" else 0
                if refused == 3:
                    return

    def _check(self, answer, request):
        if len(answer.embeddings) != len(request.texts) or not all(e.vectors[0].values for e in answer.embeddings):
            self.wrong.append(f"half an answer: {answer}")
        with self._lock:
            self.answered += 1

    def _unary(self, stub, request):
        self._check(stub.Embed(request, timeout=harness.BOUND), request)

    def _stream(self, stub, request):
        messages = 8
        # All are sent before one is read, so that some are under way whenever the signal comes.
        sent = [self._protos.EmbedStreamRequest(request=request)] * messages
        got = 0
        for answer in stub.EmbedStream(iter(sent), timeout=harness.BOUND):
            if answer.WhichOneof("result") != "response":
                self.wrong.append(f"in a stream: {answer}")
            else:
                self._check(answer.response, request)
            got += 1
        if got != messages:
            self.wrong.append(f"{got} of {messages} answers in a stream that ended with OK")


class Drain(harness.GrpcCase):
    def test_every_call_is_answered_or_refused(self):
        """SIGTERM at random moments: calls end with OK or UNAVAILABLE, not with CANCELLED, INTERNAL or half an answer."""
        moments = random.Random(1)
        total, wrong, slowest, rounds = collections.Counter(), [], 0, 0
        began = time.monotonic()
        while rounds < ROUNDS and (rounds < ROUNDS / 10 or time.monotonic() - began < ENOUGH):
            rounds += 1
            with Server("bert", "--drain-timeout", DRAIN, "--metrics-listen", "off") as server:
                load = Load(server.address)
                try:
                    busy = harness.eventually(lambda: load.answered > 2 * (UNARY + STREAMS))
                    time.sleep(moments.uniform(0, 0.05))
                    start = time.monotonic()
                    code, log = server.stop()
                    slowest = max(slowest, time.monotonic() - start)
                finally:
                    server.close()
                    load.join()
                self.assertTrue(busy, load.wrong)
                self.assertEqual(code, 0, log)
                self.assertIn("all calls have ended", log)
                total += load.ends
                wrong += [f"round {rounds}: {what}" for what in load.wrong]
        ends = ", ".join(f"{kind} {code} {count}" for (kind, code), count in sorted(total.items()))
        harness.figures(f"{rounds} drains, the slowest took {slowest:.2f} s: {ends}")
        self.assertLess(slowest, DRAIN)
        self.assertEqual(wrong, [], ends)
        # What server.h tells of: where a busy machine lets a client sleep for 100 ms after its answer. None, mostly.
        self.assertLessEqual(total["unary", "CANCELLED"] + total["stream", "CANCELLED"], rounds // 25, ends)
        for kind in ("unary", "stream"):
            self.assertGreaterEqual(total[kind, "UNAVAILABLE"], rounds, "a drain that refused nobody")

    def test_health_says_so_before_calls_are_refused(self):
        """Watch tells NOT_SERVING while calls are still served, and ends with UNAVAILABLE."""
        import grpc
        protos, services = harness.proto("embedding")
        with Server("bert", "--drain-delay", "2") as server, grpc.insecure_channel(server.address) as channel:
            embed = services.EmbeddingServiceStub(channel).Embed
            watch = channel.unary_stream("/grpc.health.v1.Health/Watch")(b"", timeout=harness.BOUND)
            self.assertEqual(next(watch), b"\x08\x01")  # SERVING
            server.signal(signal.SIGTERM)
            self.assertEqual(next(watch), b"\x08\x02")  # NOT_SERVING
            said = time.monotonic()
            served = 0
            with contextlib.suppress(grpc.RpcError):
                while True:
                    embed(protos.EmbedRequest(texts=["still served"], layer=1), timeout=harness.BOUND)
                    served += 1
            self.assertGreater(served, 0)
            self.assertGreater(time.monotonic() - said, 1, "refused before --drain-delay was over")
            with self.assertRaises(grpc.RpcError) as ended:
                next(watch)
            self.assertEqual(ended.exception.code(), grpc.StatusCode.UNAVAILABLE)
            self.assertEqual(server.wait()[0], 0)


if __name__ == "__main__":
    unittest.main()
