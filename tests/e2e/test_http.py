"""The HTTP port: metrics, probes and the page for people."""

import html.parser
import signal
import urllib.error
import urllib.request

import harness
from harness import Server, client, eventually


def get(server, path):
    """Status, content type and body."""
    url = server.facts["metrics"].removesuffix("/metrics") + path
    try:
        with urllib.request.urlopen(url, timeout=harness.BOUND) as answer:
            return answer.status, answer.headers["Content-Type"], answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers["Content-Type"], error.read().decode()


class Pages(harness.TestCase):
    def test_metrics_of_the_server_and_of_its_process(self):
        with Server() as server:
            self.assertEqual(client("embed", "--layer=1", "a text", server=server).returncode, 0)
            status, kind, text = get(server, "/metrics")
            self.assertEqual((status, kind), (200, "text/plain; version=0.0.4"))
            for line in ("# TYPE midlayer_texts_total counter", "midlayer_texts_total 1",
                         "# TYPE process_cpu_seconds_total counter", "process_open_fds ", "midlayer_model_info{"):
                self.assertIn("\n" + line, text)
            names = [line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")]
            self.assertEqual(len(names), len(set(names)), "each family once")

    def test_ready_until_it_is_told_to_stop(self):
        with Server("bert", "--drain-delay", "8") as server:
            self.assertEqual(get(server, "/healthz"), (200, "text/plain; charset=utf-8", "ok\n"))
            self.assertEqual(get(server, "/readyz")[0], 200)
            self.assertEqual(server.metric("midlayer_serving"), 1)
            self.assertEqual(get(server, "/nothing")[0], 404)
            server.signal(signal.SIGTERM)
            self.assertTrue(eventually(lambda: get(server, "/readyz")[0] == 503))
            self.assertEqual(get(server, "/readyz")[2], "the server is shutting down\n")
            self.assertEqual(server.metric("midlayer_serving"), 0)
            self.assertEqual(get(server, "/healthz")[0], 200, "it is alive")
            self.assertEqual(client("embed", "--layer=1", "a text", server=server).returncode, 0, "still served")
            self.assertNotEqual(client("health", server=server).returncode, 0)
            self.assertEqual(server.wait()[0], 0)

    def test_the_page_has_the_facts_and_loads_nothing(self):
        loads = []

        class Loads(html.parser.HTMLParser):
            def handle_starttag(self, tag, attributes):
                loads.extend(value for name, value in attributes if name in ("src", "href"))

        with Server() as server:
            status, kind, page = get(server, "/")
            self.assertEqual((status, kind), (200, "text/html; charset=utf-8"))
            for fact in (server.facts["fingerprint"], server.facts["grpc"], "bert (bert)"):
                self.assertIn(fact, page)
            Loads().feed(page)
            self.assertEqual(loads, [])
