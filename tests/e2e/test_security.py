"""TLS, mutual TLS and bearer tokens, with certificates made by openssl and calls by grpcurl and the client."""

import pathlib
import ssl
import subprocess
import tempfile
import threading
import time

import harness
from harness import SERVER, Server, client, eventually, require, run

GET_MODEL = "midlayer.v1.EmbeddingService/GetModel"
HEALTH = "grpc.health.v1.Health/Check"
RELOAD = 25  # seconds in which a renewed certificate is surely served: it is looked for every 10
USER, ADMIN, SECOND = "user-0123456789abcdef", "admin-0123456789abcdef", "second-0123456789abcdef"


class SecurityCase(harness.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory(prefix="midlayer-")
        self.addCleanup(directory.cleanup)
        self.directory = pathlib.Path(directory.name)

    def file(self, name):
        return self.directory / name

    def serve(self, *flags):
        server = Server("bert", *flags)
        self.addCleanup(server.close)
        return server

    def grpcurl(self, server, *flags, method=GET_MODEL, data=None):
        arguments = ["-d", data] if data else []
        return run([require(self, "grpcurl"), "-connect-timeout", "5", *flags, *arguments, server.address, method])


class Tls(SecurityCase):
    def setUp(self):
        super().setUp()
        certificates = harness.Certificates(self, self.directory)
        self.certificate = certificates.make
        for ca in ("ca", "other"):
            certificates.make_ca(ca)
        self.certificate("server", "ca")
        self.certificate("client", "ca")
        self.certificate("stranger", "other")

    def flags(self, *more):
        return ("--tls-cert", self.file("server.pem"), "--tls-key", self.file("server.key"), *more)

    def test_calls_are_encrypted_and_others_refused(self):
        server = self.serve(*self.flags())
        self.assertEqual(server.facts["security"], "TLS, no tokens")
        self.assertEqual(self.grpcurl(server, "-cacert", self.file("ca.pem")).returncode, 0)
        self.assertEqual(self.grpcurl(server, "-cacert", self.file("ca.pem"), method=HEALTH).returncode, 0)
        for flags, reason in [(["-cacert", self.file("other.pem")], "certificate"), ([], "certificate"),
                              (["-plaintext"], "")]:
            done = self.grpcurl(server, *flags)
            self.assertNotEqual(done.returncode, 0)
            self.assertIn(reason, done.stderr)
        self.assertEqual(client("info", "--tls-ca", self.file("ca.pem"), server=server).returncode, 0)
        for flags in (["--tls-ca", self.file("other.pem")], ["--tls"], []):
            done = client("info", "--timeout=5", *flags, server=server)
            self.assertEqual(done.returncode, 3, done.stdout)
            self.assertIn(f"cannot reach {server.address}", done.stderr)
        self.assertEqual(self.grpcurl(server, "-cacert", self.file("ca.pem")).returncode, 0, "it goes on")

    def test_a_certificate_of_another_host_or_time_is_the_clients_to_refuse(self):
        for name, options in [("elsewhere", {"host": "DNS:elsewhere.example"}), ("expired", {"days": "-1"})]:
            with self.subTest(name):
                self.certificate(name, "ca", **options)
                server = self.serve("--tls-cert", self.file(f"{name}.pem"), "--tls-key", self.file(f"{name}.key"))
                done = self.grpcurl(server, "-cacert", self.file("ca.pem"))
                self.assertNotEqual(done.returncode, 0)
                self.assertIn("certificate", done.stderr)

    def test_mutual_tls_asks_for_a_certificate_of_its_roots(self):
        server = self.serve(*self.flags("--tls-client-ca", self.file("ca.pem")))
        self.assertEqual(server.facts["security"], "mutual TLS, no tokens")
        trust = ["-cacert", self.file("ca.pem")]
        good = ["-cert", self.file("client.pem"), "-key", self.file("client.key")]
        self.assertEqual(self.grpcurl(server, *trust, *good).returncode, 0)
        self.assertNotEqual(self.grpcurl(server, *trust).returncode, 0)
        stranger = ["-cert", self.file("stranger.pem"), "-key", self.file("stranger.key")]
        self.assertNotEqual(self.grpcurl(server, *trust, *stranger).returncode, 0)
        ours = ["--tls-ca", self.file("ca.pem"), "--tls-client-cert", self.file("client.pem"), "--tls-client-key",
                self.file("client.key")]
        self.assertEqual(client("info", *ours, server=server).returncode, 0)
        self.assertEqual(client("info", "--timeout=5", *ours[:2], server=server).returncode, 3)

    def test_a_renewed_certificate_is_served_under_load(self):
        server = self.serve(*self.flags())
        host, port = server.address.split(":")
        before = ssl.get_server_certificate((host, int(port)))
        failures, calls, stop = [], [], threading.Event()

        def load():
            while not stop.is_set():
                done = self.grpcurl(server, "-cacert", self.file("ca.pem"))
                (calls if done.returncode == 0 else failures).append(done.stderr)

        thread = threading.Thread(target=load)
        thread.start()
        try:
            self.certificate("renewed", "ca", out="next")
            self.file("next.key").replace(self.file("server.key"))
            self.file("next.pem").replace(self.file("server.pem"))
            renewed = eventually(lambda: ssl.get_server_certificate((host, int(port))) != before, RELOAD)
            until_then = len(calls)
            eventually(lambda: failures or len(calls) > until_then + 5)
        finally:
            stop.set()
            thread.join()
        self.assertTrue(renewed)
        self.assertEqual(failures, [])
        self.assertGreater(until_then, 0)
        self.assertGreater(len(calls), until_then + 5)

    def test_files_that_cannot_be_used_are_named(self):
        self.file("text.pem").write_text("no certificate")
        key, certificate = self.file("server.key"), self.file("server.pem")
        for flags, parts in [
            (["--tls-cert", certificate], ["--tls-key", "found none"]),
            (["--tls-key", key], ["--tls-cert", "found none"]),
            (["--tls-client-ca", self.file("ca.pem")], ["--tls-cert", "found none"]),
            (["--tls-cert", self.file("none.pem"), "--tls-key", key], ["--tls-cert", "none.pem: file not found"]),
            (["--tls-cert", self.file("text.pem"), "--tls-key", key], ["--tls-cert", "expected a certificate in PEM"]),
            (["--tls-cert", certificate, "--tls-key", certificate], ["--tls-key", "expected a private key in PEM"]),
            (["--tls-cert", certificate, "--tls-key", self.file("client.key")], ["--tls-key", "found another in"]),
            ([*self.flags("--tls-client-ca", self.file("text.pem"))], ["--tls-client-ca", "expected a certificate"]),
        ]:
            with self.subTest(flags=flags):
                done = run([SERVER, "--model", harness.MODELS / "bert", "--listen", "127.0.0.1:0", "--metrics-listen",
                            "off", "--selection-store", "memory", "--device", "cpu", *flags])
                self.assertRefused(done, *parts)


class Tokens(SecurityCase):
    def setUp(self):
        super().setUp()
        self.tokens = self.file("tokens")
        self.write(f"# who may call\nann {USER}\nroot {ADMIN} admin\n")

    def write(self, text):
        """As an editor or a deployment would: another file in its place."""
        new = self.file("tokens.new")
        new.write_text(text)
        new.replace(self.tokens)

    def call(self, server, token=None, method=GET_MODEL, data=None):
        header = ["-H", f"authorization: Bearer {token}"] if token else []
        return self.grpcurl(server, "-plaintext", *header, method=method, data=data)

    def serve_tokens(self):
        return self.serve("--token-file", self.tokens, "--log-level", "debug")

    def test_calls_need_a_token_and_health_does_not(self):
        server = self.serve_tokens()
        self.assertEqual(server.facts["security"], "plain text, tokens")
        self.assertEqual(self.call(server, USER).returncode, 0)
        self.assertEqual(self.call(server, method=HEALTH).returncode, 0)
        for token in (None, "wrong-0123456789abcdef", USER.upper(), USER + "0"):
            done = self.call(server, token)
            self.assertIn("Unauthenticated", done.stderr)
            self.assertIn("expected Bearer and a token of this server", done.stderr)
        for scheme in ("Basic", "Bearer Bearer"):
            done = self.grpcurl(server, "-plaintext", "-H", f"authorization: {scheme} {USER}")
            self.assertIn("Unauthenticated", done.stderr)
        for method, data in [("Embed", '{"texts": ["a"]}'), ("EmbedStream", '{"request": {"texts": ["a"]}}')]:
            refused = self.call(server, method=f"midlayer.v1.EmbeddingService/{method}", data=data)
            self.assertIn("Unauthenticated", refused.stderr)
            self.assertEqual(self.call(server, USER, f"midlayer.v1.EmbeddingService/{method}", data).returncode, 0)
        self.assertIn("Unauthenticated", self.call(server, method="midlayer.v1.ScoringService/ScoreLayers", data="{}").stderr)
        refused = server.metric('midlayer_rejected_total{reason="unauthorized"}')
        self.assertEqual(refused, 9)
        code, rest = server.stop()
        self.assertEqual(code, 0)
        for token in (USER, ADMIN, "wrong-"):
            self.assertNotIn(token, rest + server.errors())

    def test_only_an_admin_changes_selections(self):
        server = self.serve_tokens()
        data = self.file("pairs.jsonl")
        data.write_text("".join('{"text": "the model %d", "paired_text": "a layer %d", "score": %d}\n' % (i, i % 5, i % 3)
                                for i in range(20)))
        user, admin = self.file("user"), self.file("admin")
        user.write_text(USER + "\n")
        admin.write_text(ADMIN)
        score = ["score", "--dataset", data, "--metrics=pair_spearman", "--output=json"]
        done = client(*score, "--promote", "--bearer-token-file", user, server=server)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("expected the token of an admin, found that of ann", done.stderr)
        self.assertEqual(client(*score, "--bearer-token-file", user, server=server).returncode, 0)
        done = client(*score, "--promote", "--bearer-token-file", admin, server=server)
        self.assertEqual(done.returncode, 0, done.stderr)
        for token, code in ((user, 1), (admin, 0)):
            done = client("selections", "promote", f"--target={server.address}", "--bearer-token-file", token, "none")
            self.assertEqual(done.returncode, code, done.stderr)
        _, rest = server.stop()
        self.assertRegex(rest, r"audit: root at ipv4:127\.0\.0\.1:\d+ promoted")

    def test_a_changed_file_counts_and_a_damaged_one_does_not(self):
        server = self.serve_tokens()
        self.write(f"ann {SECOND}\n")
        self.assertTrue(eventually(lambda: self.call(server, SECOND).returncode == 0, 10))
        self.assertNotEqual(self.call(server, USER).returncode, 0)
        self.write("ann short\n")
        time.sleep(2)  # longer than it takes to look
        self.assertEqual(self.call(server, SECOND).returncode, 0, "those before stay")
        self.tokens.unlink()
        self.assertEqual(self.call(server, SECOND).returncode, 0)
        _, rest = server.stop()
        self.assertIn("tokens: those before stay", rest)

    def test_files_that_cannot_be_used_are_named(self):
        for text, part in [("", "found none"), ("ann\n", "line 1: expected NAME TOKEN [admin]"),
                           (f"\nann {USER}\nbob {USER}\n", "line 3: expected each token once")]:
            with self.subTest(text):
                self.write(text)
                done = run([SERVER, "--model", harness.MODELS / "bert", "--token-file", self.tokens])
                self.assertRefused(done, f"--token-file: {self.tokens}: ", part)
        self.assertRefused(run([SERVER, "--model", harness.MODELS / "bert", "--token-file", self.file("none")]),
                           "--token-file", "none: file not found")
        done = client("info", "--target=127.0.0.1:1", "--bearer-token-file", self.file("none"))
        self.assertIn("--bearer-token-file", done.stderr)


class TokensUnderLoad(harness.GrpcCase):
    def test_tokens_are_exchanged_while_calls_go_on(self):
        """A, then A and B, then B alone: no call with a token of the file is refused, and A is refused for good soon after."""
        import grpc
        protos, services = harness.proto("embedding")
        directory = tempfile.TemporaryDirectory(prefix="midlayer-")
        self.addCleanup(directory.cleanup)
        tokens = pathlib.Path(directory.name) / "tokens"

        def write(text):
            new = tokens.with_suffix(".new")
            new.write_text(text)
            new.replace(tokens)

        write(f"ann {USER}\n")
        server = Server("bert", "--token-file", tokens, "--log-level", "debug")
        self.addCleanup(server.close)
        server.follow()
        calls = {USER: [], SECOND: []}  # when each began, and its code
        stop = threading.Event()

        def load(token):
            with grpc.insecure_channel(server.address, [("grpc.use_local_subchannel_pool", 1)]) as channel:
                embed = services.EmbeddingServiceStub(channel).Embed
                request = protos.EmbedRequest(texts=["under load"], layer=1)
                while not stop.is_set():
                    start, code = time.monotonic(), "OK"
                    try:
                        embed(request, timeout=harness.BOUND, metadata=[("authorization", f"Bearer {token}")])
                    except grpc.RpcError as error:
                        code = error.code().name
                    calls[token].append((start, code))

        def ended(token, code, since=0.0):
            return sum(1 for start, found in list(calls[token]) if found == code and start >= since)

        threads = [threading.Thread(target=load, args=(token,)) for token in (USER, USER, SECOND, SECOND)]
        for thread in threads:
            thread.start()
        try:
            self.assertTrue(eventually(lambda: ended(USER, "OK") > 20 and ended(SECOND, "UNAUTHENTICATED") > 20))
            self.assertEqual(ended(SECOND, "OK"), 0, "it is not in the file yet")
            write(f"ann {USER}\nbob {SECOND}\n")
            self.assertTrue(eventually(lambda: ended(SECOND, "OK") > 20), "a token that was added counts")
            write(f"bob {SECOND}\nann {USER}\n")  # the same ones, read again under load
            again = time.monotonic()
            self.assertTrue(eventually(lambda: time.monotonic() > again + 1.5 and ended(USER, "OK", again) > 20))
            write(f"bob {SECOND}\n")
            gone = time.monotonic()
            refused = eventually(lambda: ended(USER, "UNAUTHENTICATED") > 20)
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        self.assertTrue(refused, "a token that was taken out is refused")
        first = min(start for start, code in calls[USER] if code != "OK")
        self.assertGreater(first, gone, "refused while it was in the file")
        self.assertEqual({code for start, code in calls[USER] if start < first}, {"OK"})
        # The threads' clocks tell when a call began, not when it was looked at.
        self.assertEqual({code for start, code in calls[USER] if start > first + 1}, {"UNAUTHENTICATED"} if calls[USER][-1][0] > first + 1 else set())
        accepted = min(start for start, code in calls[SECOND] if code == "OK")
        self.assertEqual({code for start, code in calls[SECOND] if start > accepted + 1}, {"OK"})
        self.assertEqual({code for token in calls for _, code in calls[token]}, {"OK", "UNAUTHENTICATED"})
        counted = server.metric('midlayer_rejected_total{reason="unauthorized"}')
        self.assertEqual(counted, ended(USER, "UNAUTHENTICATED") + ended(SECOND, "UNAUTHENTICATED"))
        harness.figures(f"{len(calls[USER])} calls with the old token, {len(calls[SECOND])} with the new one; the old one was refused "
                        f"{first - gone:.2f} s after it was taken out")
        code, log = server.stop()
        self.assertEqual(code, 0)
        self.assertEqual(log.count("tokens: read again"), 3, log[-2000:])
        for token in (USER, SECOND):
            self.assertNotIn(token, log + server.errors())
