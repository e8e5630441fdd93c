"""How midlayer-server ends, and what its clients see of that."""

import signal
import subprocess
import tempfile
import threading
import time
import unittest

import harness
from harness import CLI, Server

LINES = 30_000  # some seconds of work, see SLOW
SLOW = ["--batch-tokens", "66"]  # a text a batch
TEXT = "the server reads the weights of the model once and runs every layer on the device " * 3


class Client:
    """`midlayer embed` at work on LINES lines."""

    def __init__(self, test, server):
        lines = tempfile.TemporaryFile("w+")
        test.addCleanup(lines.close)
        lines.write((TEXT + "\n") * LINES)
        lines.seek(0)
        command = [str(CLI), "embed", f"--target={server.address}", "--layer=3", "--dimensions=1", "--truncate=right", "-"]
        self.process = subprocess.Popen(command, stdin=lines, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                        env=harness.environment())
        test.addCleanup(self._close)
        test.assertTrue(harness.eventually(lambda: server.metric("midlayer_texts_total") > 100), "nothing is computed")

    def _close(self):
        self.process.kill()
        self.process.communicate()

    def end(self):
        """Exit code, lines of output, standard error."""
        out, err = self.process.communicate(timeout=harness.BOUND)
        return self.process.returncode, out.count("\n"), err


class Ending(harness.TestCase):
    def test_sigterm_with_nothing_to_do_ends_at_once(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            with Server() as server:
                start = time.monotonic()
                server.signal(number)
                code, log = server.wait()
                self.assertEqual(code, 0)
                self.assertLess(time.monotonic() - start, 5)
                self.assertIn(f"signal {int(number)}: not healthy any more", log)
                self.assertIn("all calls have ended", log)
                self.assertEqual(server.errors(), "")

    def test_sigterm_lets_what_is_under_way_end(self):
        with Server("bert", *SLOW) as server:
            client = Client(self, server)
            server.signal(signal.SIGTERM)
            self.assertLess(server.metric("midlayer_texts_total"), LINES, "nothing was under way: raise LINES")
            # New calls are refused meanwhile.
            self.assertTrue(harness.eventually(lambda: harness.client("health", server=server).returncode == 3))
            self.assertIsNone(server.process.poll(), "nothing was under way: raise LINES")
            code, lines, err = client.end()
            self.assertEqual((code, lines), (0, LINES), err)
            self.assertEqual(server.wait()[0], 0)

    def test_the_drain_has_an_end(self):
        with Server("bert", *SLOW, "--drain-timeout", "0.2") as server:
            client = Client(self, server)
            start = time.monotonic()
            self.assertEqual(server.stop()[0], 0)
            self.assertLess(time.monotonic() - start, 10)
            code, lines, err = client.end()
            self.assertIn(code, (1, 3), err)
            self.assertLess(lines, LINES)
            self.assertTrue(err)

    def test_a_second_sigterm_ends_at_once(self):
        with Server("bert", *SLOW) as server:
            client = Client(self, server)
            server.signal(signal.SIGTERM)
            self.assertTrue(harness.eventually(lambda: harness.client("health", server=server).returncode == 3))
            self.assertIsNone(server.process.poll())
            server.signal(signal.SIGTERM)
            code, _ = server.wait()
            self.assertEqual(code, 1)
            self.assertIn("second signal", server.errors())
            code, lines, err = client.end()
            self.assertEqual(code, 3, err)
            self.assertLess(lines, LINES)

    def test_a_killed_server_leaves_its_client_with_an_error(self):
        with Server("bert", *SLOW) as server:
            client = Client(self, server)
            server.kill()
            code, lines, err = client.end()
            self.assertEqual(code, 3, err)
            self.assertLess(lines, LINES)
            self.assertRegex(err, r"^midlayer: .*\(the last one done is line \d+\)")

    def test_a_killed_server_is_unavailable_to_a_single_call(self):
        with Server("bert", *SLOW, "--max-texts", "100000", "--max-waiting-texts", "100000") as server:
            harness.require(self, "grpcurl")
            request = {"texts": [TEXT] * LINES, "layer": 3, "dimensions": 1, "truncate": "TRUNCATE_RIGHT"}
            done = []
            call = threading.Thread(
                target=lambda: done.append(harness.grpcurl(self, server, harness.EMBED, data=request)))
            call.start()
            computing = harness.eventually(lambda: server.metric("midlayer_texts_total") > 100)
            server.kill()
            call.join()
            self.assertTrue(computing)
            self.assertEqual(done[0].returncode, 64 + 14, done[0].stderr)
            self.assertIn("Code: Unavailable", done[0].stderr)

    def test_a_killed_client_leaves_nothing_behind(self):
        with Server("bert", *SLOW, "--max-waiting-texts", "2000") as server:
            client = Client(self, server)
            client.process.kill()
            self.assertTrue(harness.eventually(
                lambda: server.metric('midlayer_requests_total{code="CANCELLED",method="EmbedStream"}') > 0))
            self.assertEqual(len(harness.embed_lines(server, ["still there"])), 1)
            self.assertEqual(server.metric("midlayer_queue_texts"), 0)
            self.assertLess(server.metric("midlayer_texts_total"), LINES)


if __name__ == "__main__":
    unittest.main()
