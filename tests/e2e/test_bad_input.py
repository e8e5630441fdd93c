"""What no client should send: each has a defined answer, the server lives on, and its log keeps no text and no token."""

import contextlib
import os
import pathlib
import resource
import signal
import socket
import subprocess
import tempfile
import threading
import time
import unittest
import urllib.error
import urllib.request

import harness
from harness import MODELS, SERVER, Server, eventually, require, run

TOKEN = "user-0123456789abcdef"
SECRET = "a text that nobody else should read"
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"  # and empty SETTINGS: an HTTP/2 client
MIB = 1 << 20
MANY = 2000  # messages, far more than fit between a client and a server that does not read
FIXED = ["--model", MODELS / "bert", "--device", "cpu", "--threads", "1", "--selection-store", "memory"]


def connect(address):
    host, port = address.rsplit(":", 1)
    return socket.create_connection((host, int(port)), timeout=harness.BOUND)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def read_to_end(connection):
    """What comes until the other side ends the connection."""
    received = b""
    with contextlib.suppress(ConnectionError):
        while part := connection.recv(65536):
            received += part
    return received


class GrpcPort(harness.GrpcCase):
    def setUp(self):
        import grpc
        self.grpc = grpc
        self.protos, self.services = harness.proto("embedding")
        directory = tempfile.TemporaryDirectory(prefix="midlayer-")
        self.addCleanup(directory.cleanup)
        self.directory = pathlib.Path(directory.name)
        (self.directory / "tokens").write_text(f"ann {TOKEN}\n")

    def serve(self, *flags, **options):
        server = Server("bert", "--log-level", "debug", "--token-file", self.directory / "tokens", *flags, **options)
        self.addCleanup(server.close)
        server.follow()
        return server

    def channel(self, server):
        """A connection of its own."""
        channel = self.grpc.insecure_channel(server.address, [
            ("grpc.use_local_subchannel_pool", 1), ("grpc.max_send_message_length", -1), ("grpc.max_metadata_size", 4 * MIB)])
        self.addCleanup(channel.close)
        return channel

    def good(self, channel, timeout=harness.BOUND):
        """A good request. How long its answer took."""
        start = time.monotonic()
        answer = self.services.EmbeddingServiceStub(channel).Embed(
            self.protos.EmbedRequest(texts=[SECRET], layer=1), timeout=timeout,
            metadata=[("authorization", f"Bearer {TOKEN}")])
        self.assertEqual(len(answer.embeddings[0].vectors[0].values), 32)
        return time.monotonic() - start

    def code(self, call, *arguments, metadata=(), **options):
        with self.assertRaises(self.grpc.RpcError) as error:
            answer = call(*arguments, timeout=harness.BOUND,
                          metadata=[("authorization", f"Bearer {TOKEN}"), *metadata], **options)
            list(answer)  # of a stream
        return error.exception.code().name

    def lives(self, server):
        """It answers, ends as it should, and has logged neither the text nor the token."""
        self.good(self.channel(server))
        code, log = server.stop()
        self.assertEqual(code, 0)
        self.assertRegex(log, "debug .*Embed.* code=OK")
        for secret in (SECRET, TOKEN):
            self.assertNotIn(secret, log + server.errors())

    def test_a_message_of_100_mb_is_refused(self):
        """RESOURCE_EXHAUSTED, each time, and memory stays where it was."""
        server = self.serve()
        channel = self.channel(server)
        self.good(channel)
        embed = channel.unary_unary("/midlayer.v1.EmbeddingService/Embed")
        stream = channel.stream_stream("/midlayer.v1.EmbeddingService/EmbedStream")
        huge = b"\x0a\x80\x80\x80\x32" + SECRET.encode() * (100 * MIB // len(SECRET))
        memory = []
        for _ in range(6):
            self.assertEqual(self.code(embed, huge), "RESOURCE_EXHAUSTED")
            self.assertEqual(self.code(stream, iter([huge])), "RESOURCE_EXHAUSTED")
            memory.append(server.memory())
        harness.figures(f"resident MiB after messages of 100 MB: {[size // MIB for size in memory]}")
        self.assertLess(memory[-1], memory[0] + 250 * MIB)  # the allocator keeps some; twelve messages would be 800
        self.good(channel)
        self.lives(server)

    def test_metadata_that_is_too_large_is_refused(self):
        """Beyond gRPC's 8 KB: RESOURCE_EXHAUSTED. Far beyond, gRPC ends the connection (UNAVAILABLE), and only that one."""
        server = self.serve()
        channel, other = self.channel(server), self.channel(server)
        embed = self.services.EmbeddingServiceStub(channel).Embed
        request = self.protos.EmbedRequest(texts=[SECRET], layer=1)
        self.good(other)
        for size, codes in [(20_000, ["RESOURCE_EXHAUSTED"]), (MIB, ["RESOURCE_EXHAUSTED", "UNAVAILABLE"])]:
            self.assertIn(self.code(embed, request, metadata=[("x-large", "v" * size)]), codes)
            self.good(other)
        self.lives(server)

    def test_a_client_that_never_reads_is_not_read_either(self):
        """A stream whose answers nobody takes: the server stops reading, its memory is bounded, others are served."""
        server = self.serve()
        other = self.channel(server)
        self.good(other)
        before, sent = server.memory(), [0]
        outputs = [self.protos.OutputSpec(layers=[number % 4]) for number in range(64)]  # answers of 2 MiB
        message = self.protos.EmbedStreamRequest(request=self.protos.EmbedRequest(texts=[SECRET] * 256, outputs=outputs))

        def messages():
            while sent[0] < MANY:
                sent[0] += 1
                yield message

        call = self.services.EmbeddingServiceStub(self.channel(server)).EmbedStream(
            messages(), metadata=[("authorization", f"Bearer {TOKEN}")])
        seen, since = 0, time.monotonic()
        while time.monotonic() - since < 2:  # as long as none is sent
            self.good(other)
            if sent[0] != seen:
                seen, since = sent[0], time.monotonic()
            time.sleep(0.02)
        grown = (server.memory() - before) // MIB
        harness.figures(f"a stream that nobody reads: {sent[0]} messages were sent, {grown} MiB more resident")
        self.assertLess(sent[0], MANY)
        self.assertLess(grown, 200)
        call.cancel()
        self.assertEqual(server.metric("midlayer_queue_texts"), 0)
        self.lives(server)

    def test_streams_without_end_leave_room_for_single_calls(self):
        """More in streams than fits into the server at once: they wait, and single calls are neither refused nor kept waiting."""
        server = self.serve("--max-waiting-texts", "256")
        message = self.protos.EmbedStreamRequest(request=self.protos.EmbedRequest(texts=[SECRET] * 64, layer=3, dimensions=1))
        over, answered = threading.Event(), [0] * 10

        def stream(number, stub):
            unanswered = threading.Semaphore(8)

            def messages():
                while not over.is_set():
                    unanswered.acquire()
                    yield message

            for answer in stub.EmbedStream(messages(), metadata=[("authorization", f"Bearer {TOKEN}")]):
                self.assertEqual(answer.WhichOneof("result"), "response")
                answered[number] += 1
                unanswered.release()

        threads = [threading.Thread(target=stream, args=(number, self.services.EmbeddingServiceStub(self.channel(server))))
                   for number in range(len(answered))]
        for thread in threads:
            thread.start()
        try:
            self.assertTrue(eventually(lambda: min(answered) > 1), answered)
            single = self.channel(server)
            took = sorted(self.good(single) for _ in range(50))
        finally:
            over.set()
            for thread in threads:
                thread.join(harness.BOUND)
        harness.figures(f"a single call beside {len(answered)} streams: {took[25] * 1e3:.0f} ms, at most {took[-1] * 1e3:.0f} ms")
        self.lives(server)

    def test_ten_thousand_idle_connections(self):
        """They cost memory and no processor time, requests are answered meanwhile, and their files come back."""
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        count = min(10_000, hard - 500)
        if count < 1000:
            self.skipTest(f"the hard limit of open files is {hard}")
        server = self.serve()
        channel = self.channel(server)
        self.good(channel)
        memory, files = server.memory(), server.files()
        with contextlib.ExitStack() as stack:
            start = time.monotonic()
            idle = []
            for _ in range(count):
                idle.append(stack.enter_context(connect(server.address)))
                idle[-1].sendall(PREFACE)
            for connection in idle:
                self.assertNotEqual(connection.recv(9), b"", "the server's SETTINGS")
            took = time.monotonic() - start
            self.assertGreaterEqual(server.files(), files + count)
            each = (server.memory() - memory) / count
            cpu, start = server.cpu_seconds(), time.monotonic()
            answer = max(self.good(channel) for _ in range(20))
            time.sleep(1)
            used = (server.cpu_seconds() - cpu) / (time.monotonic() - start)
        back = eventually(lambda: server.files() <= files)
        harness.figures(f"{count} idle connections in {took:.1f} s: {each / 1024:.1f} KiB each, {used:.0%} of a core, a request "
                        f"in {answer * 1e3:.0f} ms at most")
        self.assertTrue(back, server.files())
        self.assertLess(each, 200 * 1024)
        self.assertLess(used, 0.5)
        self.lives(server)

    def test_the_soft_limit_of_files_is_raised(self):
        """Started with few files, as many systems do: more connections than that are served."""
        server = self.serve(files=(200, 1000))
        with contextlib.ExitStack() as stack:
            for _ in range(400):
                connection = stack.enter_context(connect(server.address))
                connection.sendall(PREFACE)
                self.assertNotEqual(connection.recv(9), b"")
            self.good(self.channel(server))
        self.lives(server)

    def test_without_files_it_neither_spins_nor_dies(self):
        """At the hard limit those that are there are served; gRPC takes no others any more, and /healthz says so."""
        server = self.serve(files=(200, 200))
        channel = self.channel(server)
        self.good(channel)
        with contextlib.ExitStack() as stack:
            for _ in range(300):
                stack.enter_context(connect(server.address))  # the system's own queue takes them
            self.assertTrue(eventually(lambda: server.files() >= 200))
            cpu, start = server.cpu_seconds(), time.monotonic()
            time.sleep(1)
            self.assertLess((server.cpu_seconds() - cpu) / (time.monotonic() - start), 0.5)
            self.good(channel)
        self.assertTrue(eventually(lambda: server.files() < 100))
        self.good(channel)
        deaf = False
        try:
            self.good(self.channel(server), timeout=2)
        except self.grpc.RpcError:
            deaf = True
        for page in ("healthz", "readyz"):
            if deaf:
                with self.assertRaises(urllib.error.HTTPError) as error:
                    urllib.request.urlopen(server.facts["metrics"].replace("metrics", page), timeout=harness.BOUND)
                self.assertEqual((error.exception.code, error.exception.read()), (503, b"no new connections are taken\n"))
                error.exception.close()
        code, log = server.stop()
        self.assertEqual(code, 0)
        self.assertEqual("no new connections are taken" in log, deaf, log)

    def test_other_protocols_are_hung_up_on(self):
        """HTTP/1.1, TLS, noise: the connection is ended, after nothing but the server's own HTTP/2 greeting."""
        server = self.serve()
        noise = bytes((number * 89 + 7) % 256 for number in range(4096))
        for name, data in [("HTTP/1.1", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"), ("noise", noise), ("zeros", bytes(100_000)),
                           ("TLS", bytes.fromhex("160301020001000001fc0303") + noise[:505]),
                           ("HTTP/2, then noise", PREFACE + noise), ("HTTP/2, then a huge frame", PREFACE + b"\xff\xff\xff" + noise)]:
            with self.subTest(name), connect(server.address) as connection:
                with contextlib.suppress(OSError):  # it may be hung up on already
                    connection.sendall(data)
                    connection.shutdown(socket.SHUT_WR)
                greeting = read_to_end(connection)
                self.assertLess(len(greeting), 1000)
                self.assertNotIn(b"HTTP/1", greeting)
        self.lives(server)

    def test_silent_and_plain_clients_of_the_tls_port(self):
        """Plain text is hung up on; connections that never shake hands keep nobody from being served."""
        certificate, key = self.directory / "server.pem", self.directory / "server.key"
        subprocess.run([require(self, "openssl"), "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", certificate,
                        "-subj", "/CN=server", "-days", "2", "-addext", "subjectAltName=IP:127.0.0.1"], check=True, capture_output=True)
        server = self.serve("--tls-cert", certificate, "--tls-key", key)
        files = server.files()
        with contextlib.ExitStack() as stack:
            for number in range(200):
                silent = stack.enter_context(connect(server.address))
                if number % 2:
                    silent.sendall(bytes.fromhex("1603010200"))  # the beginning of a handshake
            for data in (PREFACE, b"GET / HTTP/1.1\r\n\r\n", bytes(4096)):
                with connect(server.address) as plain:
                    with contextlib.suppress(OSError):
                        plain.sendall(data)
                    self.assertLess(len(read_to_end(plain)), 100, "an alert at most")
            self.assertTrue(eventually(lambda: server.files() >= files + 200))
            credentials = self.grpc.ssl_channel_credentials(certificate.read_bytes())
            channel = self.grpc.secure_channel(server.address, credentials)
            self.addCleanup(channel.close)
            self.good(channel)
        self.assertTrue(eventually(lambda: server.files() <= files + 1), server.files())
        self.good(channel)
        code, log = server.stop()
        self.assertEqual(code, 0)
        self.assertNotIn(SECRET, log + server.errors())

    def test_an_output_that_cannot_be_written_stops_nothing(self):
        """Standard output full, closed, or a pipe that nobody reads: served all the same, and nothing is written elsewhere."""
        read, write = os.pipe()
        os.close(read)
        full = stack_file("/dev/full", self)
        for name, options, closing in [("full", {"stdout": full}, ""), ("pipe", {"stdout": write}, ""), ("closed", {}, ">&-"),
                                       ("all closed", {}, "<&- >&- 2>&-")]:
            with self.subTest(name):
                address, pages = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
                command = ["sh", "-c", f'exec "$@" {closing}', "sh", SERVER, *FIXED, "--listen", address, "--metrics-listen", pages,
                           "--log-level", "debug"]
                process = subprocess.Popen([str(part) for part in command], env=harness.environment(), **options)
                self.addCleanup(process.wait)
                self.addCleanup(process.kill)
                with self.grpc.insecure_channel(address, [("grpc.use_local_subchannel_pool", 1)]) as channel:
                    ready = self.grpc.channel_ready_future(channel)
                    self.assertTrue(eventually(lambda: ready.done() or process.poll() is not None))
                    self.assertIsNone(process.poll(), "it has ended")
                    for _ in range(20):
                        self.good(channel)
                if closing:  # else the log would go into the next file that is opened, perhaps a connection
                    self.assertEqual(os.readlink(f"/proc/{process.pid}/fd/1"), "/dev/null")
                process.send_signal(signal.SIGTERM)
                self.assertEqual(process.wait(harness.BOUND), 0)
        os.close(write)


def stack_file(path, test):
    file = open(path, "w")
    test.addCleanup(file.close)
    return file


class Ports(harness.TestCase):
    def test_a_port_in_use_is_told_in_one_line(self):
        """Neither gRPC's nor HTTP's port is shared with the server that has it, which goes on."""
        with Server("bert", "--log-level", "debug") as server:
            pages = server.facts["metrics"].removeprefix("http://").removesuffix("/metrics")
            for flag, taken, other in [("--listen", server.address, "--metrics-listen"), ("--metrics-listen", pages, "--listen")]:
                with self.subTest(flag):
                    done = run([SERVER, *FIXED, flag, taken, other, "127.0.0.1:0"])
                    self.assertRefused(done, f"{flag}: expected an address that can be listened on, found {taken} (Address already in use)")
                    self.assertEqual(done.stderr.count("\n"), 1, done.stderr)
            self.assertEqual(len(harness.embed_lines(server, ["still there"])), 1)


class HttpPort(harness.TestCase):
    def setUp(self):
        self.server = Server()
        self.addCleanup(self.server.close)
        self.address = self.server.facts["metrics"].removeprefix("http://").removesuffix("/metrics")

    def ask(self, data):
        """The first line of the answer, all of it, and the seconds it took."""
        start = time.monotonic()
        with connect(self.address) as connection:
            with contextlib.suppress(OSError):
                connection.sendall(data)
            answer = read_to_end(connection)
        return answer.split(b"\r\n")[0].decode(), answer, time.monotonic() - start

    def test_what_is_no_page_is_refused(self):
        """Unknown paths, other methods, headers without an end, noise: a status of 400 or more, and no page."""
        for name, data, statuses in [
            ("unknown", b"GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n", [404]),
            ("a file", b"GET /../../../../etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n", [404, 400]),
            ("POST", b"POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc", [404, 405]),
            ("PUT", b"PUT /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc", [404, 405]),
            ("DELETE", b"DELETE /metrics HTTP/1.1\r\nHost: x\r\n\r\n", [404, 405]),
            ("no method", b"NONSENSE /metrics HTTP/1.1\r\nHost: x\r\n\r\n", [400, 405, 501]),
            ("a header of 100 KB", b"GET /metrics HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 100_000 + b"\r\n\r\n", [400, 413, 431]),
            ("noise", bytes((number * 89 + 7) % 256 for number in range(4096)), [400]),
        ]:
            with self.subTest(name):
                status, answer, _ = self.ask(data)
                self.assertIn(int(status.split()[1]), statuses, status)
                self.assertNotIn(b"midlayer_", answer)
                self.assertNotIn(b"root:", answer)
        self.assertTrue(self.ask(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")[0].endswith("200 OK"))

    def test_slow_clients_keep_no_probe_from_its_answer(self):
        """Connections that send nothing, or a byte now and then, or never read: /healthz is answered all the same."""
        over = threading.Event()

        def drip(connection):
            with contextlib.suppress(OSError):
                for byte in b"GET /metrics HTTP/1.1\r\nX: " + b"a" * 1000:
                    connection.sendall(bytes([byte]))
                    if over.wait(0.1):
                        return

        with contextlib.ExitStack() as stack:
            stack.callback(over.set)
            for number in range(8):
                connection = stack.enter_context(connect(self.address))
                if number % 2:
                    threading.Thread(target=drip, args=(connection,), daemon=True).start()
            slowest = 0
            for _ in range(5):
                status, _, took = self.ask(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
                self.assertTrue(status.endswith("200 OK"), status)
                slowest = max(slowest, took)
        harness.figures(f"/healthz beside 8 slow clients: {slowest * 1e3:.0f} ms at most")
        self.assertLess(slowest, 5)


if __name__ == "__main__":
    unittest.main()
