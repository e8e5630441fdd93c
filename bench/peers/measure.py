"""What a run measures, round by round, into one dictionary of figures."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Callable, Hashable
from dataclasses import replace

from peers.contestants import Contestant, Midlayer, find_peers, measure_start
from peers.corpus import Corpus, cut_texts, read_texts
from peers.load import Result
from peers.plan import Plan

LOWEST_COSINE = {"float32": 0.9999, "bfloat16": 0.99}
COMPARED = 64
BATCH = 32  # of engines in process, beside one text at a time


def say(words: str) -> None:
    print(words, file=sys.stderr, flush=True)


class Run:
    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.ours = {dtype: Midlayer(plan.tools, dtype, plan.depth) for dtype in plan.dtypes}
        peers, missing = find_peers(plan.tools) if plan.peers else ([], {"all peers": "not asked for"})
        self.others = [peer for peer in peers if peer.dtype in plan.dtypes]
        self.corpora: dict[str, Corpus] = {}
        self.grown: dict[int, Corpus] = {}
        self.short = Corpus("", [], [])
        self._order = random.Random(1)
        self.figures: dict = {"setup": plan.setup(), "contestants": {}, "left_out": missing, "cosines": {}, "corpora": {}, "forward": {},
                              "throughput": {}, "layers": {}, "growth": {}, "single": {}, "bulk": {}, "start": {}}  # fmt: skip

    @property
    def all(self) -> list[Contestant]:
        return [*self.ours.values(), *self.others]

    def start(self) -> None:
        for contestant in list(self.all):
            self.attempt(contestant, contestant.start)
            if contestant in self.all:
                self.figures["contestants"][label(contestant)] = {"dtype": contestant.dtype, "in_process": contestant.in_process}

    def stop(self) -> None:
        for contestant in self.all:
            contestant.stop()

    def attempt(self, contestant: Contestant, work: Callable[[], Result | None]) -> Result | None:
        """What `work` gives; a peer that fails is out from then on, while a failure of midlayer ends the run."""
        try:
            return work()
        except (RuntimeError, OSError, ValueError, EOFError, LookupError) as error:
            if isinstance(contestant, Midlayer):
                raise
            say(f"{label(contestant)} is out: {error}")
            self.figures["left_out"][label(contestant)] = str(error)
            self.others.remove(contestant)
            contestant.stop()
            return None

    def read_corpora(self) -> None:
        """Texts as they are, and cut to lengths; tokens as midlayer counts them."""
        texts = read_texts(self.plan.texts, self.plan.count)
        lengths = [int(name) for name in self.plan.lengths if name != "mixed"]
        python = self.plan.cutting_python()
        self.figures["setup"]["cut"] = "by tokens" if python else "by words, about (no tokenizers)"
        cut = cut_texts(python, self.plan.tools.model, texts, sorted({*lengths, *self.plan.growth, self.plan.short}))
        for name in self.plan.lengths:
            self.corpora[name] = self.corpus(name, texts if name == "mixed" else cut[int(name)])
        self.grown = {length: Corpus(str(length), cut[length], [length] * len(cut[length])) for length in self.plan.growth}
        self.short = Corpus(str(self.plan.short), cut[self.plan.short], [self.plan.short] * len(cut[self.plan.short]))
        for name, corpus in self.corpora.items():
            self.figures["corpora"][name] = {"texts": len(corpus.texts), "mean_tokens": sum(corpus.tokens) / len(corpus.tokens)}

    def corpus(self, name: str, texts: list[str]) -> Corpus:
        answers = next(iter(self.ours.values())).answers(texts, 0)
        return Corpus(name, texts, [answer["tokens"] for answer in answers])

    def compare_vectors(self) -> None:
        """Before any time is taken: whether all do the same work."""
        texts = next(iter(self.corpora.values())).sample(COMPARED)
        reference = next(iter(self.ours.values())).vectors(texts)
        for contestant in list(self.all):
            self.attempt(contestant, lambda c=contestant: self.compare(c, texts, reference))

    def compare(self, contestant: Contestant, texts: list[str], reference: list[list[float]]) -> None:
        lowest = min(cosine(a, b) for a, b in zip(contestant.vectors(texts), reference, strict=True))
        say(f"{label(contestant)}: lowest cosine {lowest:.6f}")
        self.figures["cosines"][label(contestant)] = lowest
        if not lowest >= LOWEST_COSINE[contestant.dtype]:
            raise ValueError(f"its vectors differ: lowest cosine {lowest:.6f}, wanted {LOWEST_COSINE[contestant.dtype]}")

    def keep(self, where: list[Hashable], result: Result) -> None:
        """Appends to the list of rounds at that place of the figures."""
        place = self.figures
        for key in where[:-1]:
            place = place.setdefault(str(key), {})
        place.setdefault(str(where[-1]), []).append(result)
        rate = result.get("tokens_per_second", result.get("forward"))
        say(f"  {', '.join(str(key) for key in where)}: " + (f"{rate:.0f} tokens/s" if rate else json.dumps(result)))

    def shuffled(self, items: list) -> list:
        return self._order.sample(items, len(items))

    def round(self, number: int) -> None:
        say(f"round {number + 1}")
        for name, corpus in self.corpora.items():
            self.measure_forward(name, corpus)
            self.measure_throughput(name, corpus)
        self.measure_single()
        for dtype, ours in self.ours.items():
            self.measure_layers(dtype, ours)
            self.measure_growth(dtype)
            self.measure_bulk(dtype, ours)
            self.keep(["start", dtype], measure_start(ours, self.short.texts[0]))

    def measure_single(self) -> None:
        """One text after the other, each contestant otherwise idle; and the bare pass, alone with each number of threads."""
        for contestant in self.shuffled(self.all):
            result = self.attempt(contestant, lambda c=contestant: c.measure(self.short, 1, self.plan.seconds))
            if result:
                self.keep(["single", label(contestant)], result)
        for dtype in self.plan.dtypes if self.plan.forward.exists() else []:
            runs = [self.run_forward(self.short, dtype, threads, 1, "single") for threads in {1, self.plan.tools.threads}]
            self.keep(["single", f"bare forward pass {dtype}"], {"p50_ms": min(run["single_text_ms"] for run in runs)})

    def measure_growth(self, dtype: str) -> None:
        """On a server that cuts no text."""
        tools = replace(self.plan.tools, max_tokens=max(self.plan.tools.max_tokens, *self.plan.growth))
        server = Midlayer(tools, dtype, self.plan.depth)
        server.start()
        try:
            for length in self.shuffled(list(self.grown)):
                self.keep(["growth", dtype, length], server.measure(self.grown[length], self.plan.main_clients, self.plan.seconds))
        finally:
            server.stop()

    def measure_bulk(self, dtype: str, ours: Midlayer) -> None:
        """A stream of texts, and the engine in a process of its own."""
        if not self.plan.forward.exists():
            return
        corpus = next(iter(self.corpora.values()))
        engine = self.run_forward(corpus, dtype, self.plan.tools.threads, 1, "engine")["engine_tokens_per_second"]
        self.keep(["bulk", dtype], ours.embed_stream(corpus, self.plan.bulk) | {"engine_tokens_per_second": engine})

    def measure_throughput(self, name: str, corpus: Corpus) -> None:
        loads = [(c, load) for c in self.all for load in ([1, BATCH] if c.in_process else self.plan.clients)]
        self.figures["throughput"].setdefault(name, {label(c): {str(load): [] for d, load in loads if d is c} for c in self.all})
        for contestant, load in self.shuffled(loads):
            if contestant not in self.all:
                continue
            result = self.attempt(contestant, lambda c=contestant, n=load: c.measure(corpus, n, self.plan.seconds))
            if result:
                self.keep(["throughput", name, label(contestant), load], result)

    def measure_forward(self, name: str, corpus: Corpus) -> None:
        """Roofline with all threads in one product; the bare forward the better way of sharing the threads out."""
        if not self.plan.forward.exists() or (self.plan.quick and name != self.plan.lengths[0]):
            return
        threads = self.plan.tools.threads
        for dtype in self.shuffled(self.plan.dtypes):
            together = self.run_forward(corpus, dtype, threads, 1, "roofline", "forward")
            apart = self.run_forward(corpus, dtype, 1, threads, "forward") if threads > 1 and not self.plan.quick else together
            best = max(rate for run in (together, apart) for rate in run["forward_tokens_per_second"].values())
            self.keep(["forward", name, dtype], {"roofline": together["roofline_tokens_per_second"], "forward": best})

    def run_forward(self, corpus: Corpus, dtype: str, threads: int, workers: int, *measures: str) -> dict:
        texts = self.plan.tools.work / "forward.jsonl"
        texts.write_text("\n".join(json.dumps({"text": text}) for text in corpus.texts))
        command = [self.plan.forward, "--model", self.plan.tools.model, "--texts", texts, "--dtype", dtype, "--threads", str(threads),
                   "--workers", str(workers), "--layer", str(self.plan.depth), "--seconds", str(self.plan.seconds / 2), "--measure", *measures]  # fmt: skip
        out = subprocess.run([*command, *(["--batch-tokens", "512"] if self.plan.quick else [])], capture_output=True, text=True, check=False)
        if out.returncode:
            raise SystemExit(f"{self.plan.forward}: {out.stderr.strip()}")
        return json.loads(out.stdout.splitlines()[-1])

    def measure_layers(self, dtype: str, ours: Midlayer) -> None:
        """Each layer alone, and layers drawn at random, beside what the pure ones would take for the same texts."""
        corpus = next(iter(self.corpora.values()))
        layers = list(range(self.plan.depth + 1))
        drawn = random.Random(2).choices(layers, k=len(corpus.texts))
        rates: dict[int, float] = {}
        results: dict[int | str, Result] = {}
        for layer in self.shuffled([*layers, "mixed"]):
            wanted = drawn if layer == "mixed" else [layer] * len(corpus.texts)
            results[layer] = ours.measure_layers(corpus, wanted, self.plan.main_clients, self.plan.seconds)
            rates[layer] = results[layer]["tokens_per_second"]
        seconds = sum(tokens / rates[layer] for tokens, layer in zip(corpus.tokens, drawn, strict=True))
        results["mixed"]["expected_tokens_per_second"] = sum(corpus.tokens) / seconds
        for layer in [*layers, "mixed"]:
            self.keep(["layers", dtype, layer], results[layer])


def label(contestant: Contestant) -> str:
    return f"{contestant.name} {contestant.dtype}"


def cosine(a: list[float], b: list[float]) -> float:
    dot = sum(x * y for x, y in zip(a, b, strict=True))
    return dot / (sum(x * x for x in a) * sum(y * y for y in b)) ** 0.5
