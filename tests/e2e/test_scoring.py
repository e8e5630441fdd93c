"""Scoring, selections and shared stores, with the real programs and a real Redis."""

import concurrent.futures
import html.parser
import json
import pathlib
import signal
import socket
import tempfile
import threading
import time

import harness
from harness import Server, client, eventually, grpcurl, require
from test_http import get

WORDS = "the layer model small server vector text token last middle reads weights".split()
SEEN_BY_OTHERS = 2.5  # seconds: one poll of 1 s and one reading, which takes 1 s at most, and room for a busy machine


def texts(count):
    """Lines of 5 to 14 words, the same on every call."""
    state, lines = 1, []
    for i in range(count):
        line = []
        for _ in range(5 + i % 10):
            state = (state * 1664525 + 1013904223) % 2**32
            line.append(WORDS[(state >> 16) % len(WORDS)])
        lines.append(" ".join(line) + f" {i}")
    return lines


def pairs(count):
    """Examples with a score each."""
    return [{"text": text, "paired_text": f"the small model {i % 7}", "score": i % 5} for i, text in enumerate(texts(count))]


class ScoringCase(harness.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory(prefix="midlayer-")
        self.addCleanup(directory.cleanup)
        self.directory = pathlib.Path(directory.name)

    def write(self, name, rows):
        """A data set as JSON Lines (of objects) or lines (of strings)."""
        path = self.directory / name
        path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
        return path

    def serve(self, *flags, model="bert"):
        server = Server(model, *flags)
        self.addCleanup(server.close)
        return server

    def score(self, server, *flags):
        done = client("score", "--output=json", *flags, server=server)
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout)

    def promoted(self, server, rows, *flags):
        """The id of a selection scored on `rows` and promoted."""
        path = self.write("promoted.jsonl", rows)
        return self.score(server, "--dataset", path, "--metrics=pair_spearman", "--promote", *flags)["selection"]["id"]

    def selections(self, server, command, *arguments):
        return client("selections", command, f"--target={server.address}", *arguments)

    def embed(self, server, *flags):
        done = client("embed", *flags, "the small model", server=server)
        return json.loads(done.stdout) if done.returncode == 0 else done.stderr

    def selection_of(self, server):
        """The id of the selection that an answer of Embed names; none: ""; refused: None."""
        done = grpcurl(self, server, harness.EMBED, data={"texts": ["x"]})
        return json.loads(done.stdout).get("selection_id", "") if done.returncode == 0 else None


class Score(ScoringCase):
    def test_from_a_file_to_the_layer_that_embed_uses(self):
        server = self.serve()
        path = self.write("pairs.jsonl", pairs(40))
        done = client("score", "--dataset", path, server=server)
        self.assertEqual(done.returncode, 0, done.stderr)
        for part in ("pair spearman", "Choice", "Evidence     a task", "midlayer selections promote"):
            self.assertIn(part, done.stdout)
        report = self.score(server, "--dataset", path)
        self.assertTrue(report["cached"])
        chosen = report["selection"]
        self.assertEqual(self.selection_of(server), "")
        self.assertEqual(self.selections(server, "promote", chosen["id"][:8]).returncode, 0)
        self.assertEqual(self.selection_of(server), chosen["id"])
        self.assertEqual(self.embed(server)["layer"], chosen["layer"])
        listed = self.selections(server, "list")
        self.assertIn(chosen["id"][:12], listed.stdout)
        self.assertNotEqual(self.selections(server, "delete", chosen["id"], "--yes").returncode, 0, "in force")
        shown = self.selections(server, "show", chosen["id"])
        self.assertIn("pair spearman", shown.stdout)

    def test_the_page_is_whole_and_loads_nothing(self):
        server = self.serve()
        page = self.directory / "report.html"
        done = client("score", "--dataset", self.write("texts.txt", texts(40)), "--html", page, server=server)
        self.assertEqual(done.returncode, 0, done.stderr)
        tags = []

        class Reader(html.parser.HTMLParser):
            def handle_starttag(self, tag, attrs):
                tags.append((tag, dict(attrs)))

        Reader().feed(page.read_text())
        names = [tag for tag, _ in tags]
        self.assertGreater(names.count("svg"), 10)
        for tag, attributes in tags:
            for name in ("src", "href", "srcset", "data"):
                self.assertFalse(attributes.get(name, "#").startswith(("http", "//")), f"{tag} loads {attributes}")

    def test_no_layer_above_the_promoted_one_is_loaded_where_that_is_asked_for(self):
        store = ("--selection-store", f"file:{self.directory}/store")
        server = self.serve(*store, "--trim-to-selection=true")
        self.assertEqual(server.facts["layers"], "3", "all, for none is promoted")
        chosen = self.promoted(server, pairs(30))
        layer = self.embed(server)["layer"]
        self.assertLess(layer, 3)
        server.stop()
        trimmed = self.serve(*store, "--trim-to-selection=true")
        self.assertEqual(trimmed.facts["layers"], f"{layer} of 3")
        self.assertEqual((self.selection_of(trimmed), self.embed(trimmed)["layer"]), (chosen, layer))
        self.assertIn("only these are loaded", self.embed(trimmed, "--layer=3"))
        whole = self.serve(*store)
        self.assertEqual(whole.facts["layers"], "3")
        # Without a selection others answer with the last layer, which it has not.
        self.assertEqual(self.selections(whole, "promote", "none").returncode, 0)
        self.assertTrue(eventually(lambda: "trimmed" in str(self.embed(trimmed))))
        self.assertEqual(self.embed(whole)["layer"], 3)

    def test_spectra_alone_are_not_promoted(self):
        server = self.serve()
        path = self.write("texts.txt", texts(30))
        done = client("score", "--dataset", path, "--metrics=unlabelled", "--promote", server=server)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("spectra alone", done.stderr)
        self.assertEqual(self.selection_of(server), "")
        report = self.score(server, "--dataset", path, "--metrics=unlabelled", "--promote", "--force")
        self.assertEqual(self.selection_of(server), report["selection"]["id"])

    def test_data_sets_are_refused_by_line_and_field(self):
        server = self.serve()
        cases = [
            (["{"], "line 1"),
            (['{"text": "a b"}', "nonsense"], "line 2"),
            ([{"text": "a b"}, {"label": "x"}], "text"),
            ([{"text": "a b", "label": "x"}, {"text": "c d"}, {"text": "e f", "label": "y"}], "label"),
            ([{"text": "a b", "label": "x"}, {"text": "c d", "label": "x"}], "2 classes"),
            ([{"text": "a b"}], "expected 2 or more, found 1"),
            ([{"text": "a b", "text_b": "c", "score": "high"}, {"text": "d", "text_b": "e", "score": 1}], "score"),
            ([], "no examples"),
        ]
        for number, (rows, message) in enumerate(cases):
            with self.subTest(message):
                done = client("score", "--dataset", self.write(f"bad{number}.jsonl", rows), server=server)
                self.assertNotEqual(done.returncode, 0)
                self.assertEqual(done.stdout, "")
                self.assertIn(message, done.stderr)

    def test_two_reports_are_compared(self):
        server = self.serve()
        path = self.write("texts.txt", texts(40))
        for name, seed in (("a.json", 1), ("b.json", 2)):
            report = self.score(server, "--dataset", path, f"--seed={seed}", "--example-values")
            (self.directory / name).write_text(json.dumps(report))
        done = client("compare", self.directory / "a.json", self.directory / "b.json")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("self retrieval mrr", done.stdout.replace("_", " "))

    def test_a_run_is_counted_and_seen(self):
        server = self.serve()
        self.score(server, "--dataset", self.write("texts.txt", texts(30)))
        self.assertEqual(server.metric('midlayer_score_runs_total{code="OK"}'), 1)
        self.assertGreater(server.metric('midlayer_score_stage_seconds_total{stage="forward"}'), 0)
        self.assertEqual(server.metric("midlayer_score_running"), 0)


class FileStore(ScoringCase):
    def test_a_promotion_survives_kill_and_restart(self):
        flags = ("--selection-store", f"file:{self.directory / 'store'}")
        server = self.serve(*flags)
        chosen = self.promoted(server, pairs(30))
        server.signal(signal.SIGKILL)
        server.wait()
        again = self.serve(*flags)
        self.assertEqual(self.selection_of(again), chosen)

    def test_a_place_that_cannot_be_written_is_refused(self):
        blocked = self.directory / "file"
        blocked.write_text("")
        done = harness.run([harness.SERVER, "--model", harness.MODELS / "bert", "--device", "cpu", "--listen", "127.0.0.1:0",
                            "--metrics-listen", "off", "--selection-store", f"file:{blocked}/store"])
        self.assertRefused(done, "--selection-store", str(blocked))


class Redis(ScoringCase):
    def start_redis(self):
        process = harness.start_redis(require(self, "redis-server"), self.port, self.directory)
        self.addCleanup(lambda: (process.kill(), process.wait()))
        return process

    def setUp(self):
        super().setUp()
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.redis = self.start_redis()
        self.flags = ("--selection-store", f"redis://127.0.0.1:{self.port}/0")

    def test_replicas_agree_through_promote_restart_and_a_lost_store(self):
        a, b = self.serve(*self.flags), self.serve(*self.flags)
        first = self.promoted(a, pairs(30))
        self.assertTrue(eventually(lambda: self.selection_of(b) == first, SEEN_BY_OTHERS))
        b.signal(signal.SIGKILL)
        b.wait()
        b = self.serve(*self.flags)
        self.assertEqual(self.selection_of(b), first, "from its first answer on")
        # The store is lost: both go on with what they know, and say so; a new server refuses to guess.
        self.redis.kill()
        self.redis.wait()
        for server in (a, b):
            self.assertTrue(eventually(lambda: server.metric("midlayer_selection_store_up") == 0))
            self.assertEqual(self.selection_of(server), first)
        late = self.serve(*self.flags)
        self.assertIsNone(self.selection_of(late))
        self.assertEqual(self.embed(late, "--layer=1")["layer"], 1)
        self.assertEqual(get(late, "/healthz")[0], 200)
        status, _, reason = get(late, "/readyz")
        self.assertEqual(status, 503)
        self.assertRegex(reason, r"the selection store redis://127\.0\.0\.1:\d+/0 cannot be read")
        self.assertNotEqual(self.selections(a, "list").returncode, 0)
        # And is found again.
        self.redis = self.start_redis()
        for server in (a, b, late):
            self.assertTrue(eventually(lambda: self.selection_of(server) == first))
            self.assertTrue(eventually(lambda: server.metric("midlayer_selection_store_up") == 1))
            self.assertEqual(get(server, "/readyz")[0], 200)

    def test_no_answer_has_the_old_id_after_the_documented_bound(self):
        a, b = self.serve(*self.flags), self.serve(*self.flags)
        ids = [self.score(a, "--dataset", self.write(f"{n}.jsonl", pairs(n)), "--metrics=pair_spearman")["selection"]["id"]
               for n in (30, 31)]
        seen, promoted = [], []  # (when it was asked for, id), (when the call had returned, id)
        stop = threading.Event()

        def ask():
            while not stop.is_set():
                asked = time.monotonic()
                seen.append((asked, self.selection_of(b)))

        with concurrent.futures.ThreadPoolExecutor() as pool:
            asking = pool.submit(ask)
            try:
                for chosen in ids * 3:
                    done = self.selections(a, "promote", chosen)
                    self.assertEqual(done.returncode, 0, done.stderr)
                    promoted.append((time.monotonic(), chosen))
                    self.assertEqual(self.selection_of(a), chosen, "at once where it was promoted")
                    self.assertTrue(eventually(lambda: seen and seen[-1][1] == chosen, SEEN_BY_OTHERS))
            finally:
                stop.set()
            asking.result()
        for (when, chosen), following in zip(promoted, promoted[1:] + [(float("inf"), None)], strict=True):
            for asked, found in seen:
                if when + SEEN_BY_OTHERS < asked < following[0]:
                    self.assertEqual(found, chosen)

    def test_two_promotions_that_expect_the_same_do_not_both_succeed(self):
        a, b = self.serve(*self.flags), self.serve(*self.flags)
        ids = [self.score(a, "--dataset", self.write(f"{n}.jsonl", pairs(n)), "--metrics=pair_spearman")["selection"]["id"]
               for n in (30, 31, 32)]
        for _ in range(5):
            current = self.selection_of(a)
            others = [chosen for chosen in ids if chosen != current][:2]
            with concurrent.futures.ThreadPoolExecutor() as pool:
                done = list(pool.map(
                    lambda work: grpcurl(self, work[0], "midlayer.v1.SelectionService/PromoteSelection",
                                         data={"id": work[1], "expectedCurrentId": current}).returncode,
                    zip((a, b), others, strict=True)))
            self.assertEqual(sorted(code == 0 for code in done), [False, True])
            self.assertTrue(eventually(lambda: self.selection_of(a) == self.selection_of(b) != current, SEEN_BY_OTHERS))
