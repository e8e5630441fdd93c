"""The load balancers of deploy/ in front of real servers: their files are valid, and what a fault costs. tests/faults/run.py
does more of it, and for longer."""

import concurrent.futures
import pathlib
import re
import sys
import tempfile

import harness
from harness import MODELS, SOURCE, require, run

sys.path.insert(0, str(SOURCE / "tests/faults"))
import balancers  # noqa: E402
import load  # noqa: E402
import scenario  # noqa: E402
from faults import FAULTS  # noqa: E402
from replicas import Replicas  # noqa: E402

DEPLOY = SOURCE / "deploy"
DRAIN = ("--drain-delay", "3", "--drain-timeout", "1")  # a stream that never ends keeps a replica for all of it


class DeployCase(harness.TestCase):
    def assertAccepted(self, done):
        self.assertEqual(done.returncode, 0, done.stderr + done.stdout)
        self.assertNotRegex((done.stderr + done.stdout).lower(), r"\bwarn", "nothing but what is meant")

    def check_tls(self, balancer):
        """With the lines for TLS in force, clients are served through it, and replicas are asked through it."""
        program = require(self, balancer)
        directory = tempfile.TemporaryDirectory(prefix="midlayer-")
        self.addCleanup(directory.cleanup)
        folder = pathlib.Path(directory.name)
        folder.chmod(0o755)  # for the workers of nginx, who are somebody else
        certificates = harness.Certificates(self, folder)
        certificates.make_ca("ca")
        certificates.make("midlayer", "ca")
        certificates.make("replica", "ca", host="DNS:midlayer")
        with (folder / "midlayer.pem").open("a") as file:
            file.write((folder / "midlayer.key").read_text())
        tls = ("--tls-cert", folder / "replica.pem", "--tls-key", folder / "replica.key")
        with Replicas(MODELS / "bert", *tls) as replicas:
            replicas.start(0)
            with balancers.KINDS[balancer](program, replicas, folder) as front:
                front.wait()
                ask = ("embed", f"--target={front.target}", "--layer=1")
                done = harness.client(*ask, f"--tls-ca={folder / 'ca.pem'}", "x")
                self.assertEqual(done.returncode, 0, done.stderr + front.log())
                self.assertIn("embedding", done.stdout)
                self.assertNotEqual(harness.client(*ask, "x").returncode, 0, "without TLS")


class Files(DeployCase):
    """Each balancer accepts the file that is shipped for it, and does TLS."""

    def test_haproxy(self):
        self.assertAccepted(run([require(self, "haproxy"), "-c", "-f", DEPLOY / "haproxy/haproxy.cfg"]))

    def test_nginx(self):
        with tempfile.TemporaryDirectory(prefix="midlayer-") as folder:
            # It makes its folders even where it only checks.
            config = f"{folder}/nginx.conf"
            with open(config, "w") as file:
                file.write((DEPLOY / "nginx/nginx.conf").read_text().replace("/tmp/", f"{folder}/"))
            self.assertAccepted(run([require(self, "nginx"), "-t", "-c", config, "-p", folder, "-e", "stderr"]))

    def test_haproxy_with_tls(self):
        self.check_tls("haproxy")

    def test_nginx_with_tls(self):
        self.check_tls("nginx")


class Envoy(DeployCase):
    """The same of Envoy, a program of 128 MB."""

    def test_envoy(self):
        self.assertAccepted(run([require(self, "envoy"), "--mode", "validate", "-c", DEPLOY / "envoy/envoy.yaml"]))

    def test_envoy_with_tls(self):
        self.check_tls("envoy")


class Traces(harness.GrpcCase):
    """Envoy beside a server makes spans of its calls, and the server's log has the trace of each."""

    def collect(self):
        """What the OpenTelemetry collector at port() is sent, as bytes: (port, list)."""
        import grpc
        received = []

        def export(request, _context):
            received.append(request)
            return b""  # an ExportTraceServiceResponse

        method = grpc.unary_unary_rpc_method_handler(export)
        collector = grpc.server(concurrent.futures.ThreadPoolExecutor(1))
        collector.add_generic_rpc_handlers(
            [grpc.method_handlers_generic_handler("opentelemetry.proto.collector.trace.v1.TraceService", {"Export": method})])
        port = collector.add_insecure_port("127.0.0.1:0")
        collector.start()
        self.addCleanup(collector.stop, None)
        return port, received

    def test_spans_reach_the_collector_and_the_log_has_their_trace(self):
        program, grpcurl = require(self, "envoy"), require(self, "grpcurl")
        port, received = self.collect()
        trace = "4bf92f3577b34da6a3ce929d0e0e4736"
        parent = f"00-{trace}-00f067aa0ba902b7-01"
        with Replicas(MODELS / "bert", "--log-level", "debug") as replicas:
            server = replicas.start(0)
            with balancers.Envoy(program, replicas, collector=port) as front:
                front.wait()
                for headers in ((), ("-H", f"traceparent: {parent}")):
                    done = run([grpcurl, "-plaintext", *headers, "-d", '{"texts": ["a"], "layer": 1}', "-import-path", SOURCE / "proto",
                                "-proto", "midlayer/v1/embedding.proto", front.target, harness.EMBED])
                    self.assertEqual(done.returncode, 0, done.stderr)
                exported = harness.eventually(lambda: bytes.fromhex(trace) in b"".join(received))
                self.assertTrue(exported, "a span of the caller's trace")
            _, log = server.stop()
        own, given = re.findall(r"traceparent=(\S+)", log)
        self.assertRegex(given, f"^00-{trace}-[0-9a-f]{{16}}-01$")
        self.assertNotEqual(given, parent, "the parent is Envoy's span")
        self.assertIn(bytes.fromhex(given.split("-")[2]), b"".join(received), "which is the one that was exported")
        self.assertIn(bytes.fromhex(own.split("-")[1]), b"".join(received), "a trace of Envoy's own where the caller has none")


class Faults(harness.TestCase):
    """Through a balancer, no request is lost, answered twice or answered wrong; with the clients' defaults none fails, and
    what does not try again sees only errors that say that it may."""

    def play(self, balancer, fault):
        require(self, balancer)
        if not load.CPP.exists():
            harness.absent(self, f"{load.CPP.name} is not built")
        kinds = ("cpp", "python", "once") if load.PYTHON.exists() else ("cpp", "once")
        plan = scenario.Plan(MODELS / "bert", away=1, stopped=3, rest=3, kinds=kinds, flags=DRAIN)
        result = scenario.play(FAULTS[fault], balancer, plan)
        harness.figures(f"{fault} behind {balancer}: {result}")
        self.assertEqual((result["lost"], result["twice"], result["wrong"]), (0, 0, 0), result)
        self.assertGreater(result["requests"], scenario.SETTLED, result)
        self.assertEqual(result["errors"], {}, "clients try again by themselves")
        for error in result["errors_once"]:
            self.assertRegex(error, r"call (UNAVAILABLE|CANCELLED)$", result)
        return result

    def test_haproxy_and_a_replica_that_is_killed(self):
        self.assertIsNotNone(self.play("haproxy", "kill")["notes"]["back_after_seconds"])

    def test_haproxy_and_a_replica_that_drains(self):
        result = self.play("haproxy", "drain")
        self.assertEqual((result["errors"], result["errors_once"]), ({}, {}), "a drain costs nobody anything")
        self.assertEqual(result["notes"]["exit_code"], 0)

    def test_haproxy_and_a_replica_that_is_stopped(self):
        result = self.play("haproxy", "stop")
        self.assertEqual((result["errors"], result["errors_once"]), ({}, {}), "the timeout is longer")

    def test_nginx_and_a_replica_that_is_killed(self):
        self.assertIsNotNone(self.play("nginx", "kill")["notes"]["back_after_seconds"])

    def test_nginx_and_a_replica_that_drains(self):
        self.assertEqual(self.play("nginx", "drain")["notes"]["exit_code"], 0)

    def test_nginx_and_a_replica_that_is_stopped(self):
        result = self.play("nginx", "stop")
        self.assertEqual((result["errors"], result["errors_once"]), ({}, {}), "the timeout is longer")


if __name__ == "__main__":
    harness.unittest.main()
