#!/usr/bin/env python3
"""midlayer-server beside its peers: roofline, throughput, latency, cost by layer and by length, single short texts, bulk, start and memory, in one
run.

    tools/setup.sh --bench
    bench/peers.py --texts texts.jsonl [more.jsonl …]
    bench/peers.py --quick                        # everything once, in a minute: whether it still works

Peers that are installed take part: sentence-transformers, ONNX Runtime and OpenVINO in process; as servers grpcio + sentence-transformers,
infinity, and text-embeddings-router where it is on PATH. Each must first give midlayer's vectors. Contestants take turns in an order that
is drawn anew each round, and ratios are taken within a round. Writes peers.json (all figures), peers.md (tables) and SVG plots.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import tempfile
from pathlib import Path

from overhead import WORDS
from peers import report
from peers.contestants import Tools
from peers.measure import Run
from peers.plan import Plan
from server import ROOT


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    what = parser.add_argument_group("what is measured")
    what.add_argument("--texts", type=Path, nargs="+", help="JSON Lines files with a field text or text_a; with --quick default: random words")
    what.add_argument("--count", type=int, default=2048, help="texts drawn from them, seeded (default 2048)")
    what.add_argument("--lengths", nargs="+", default=["mixed", "64"], help="corpora: mixed (texts as they are) or tokens a text (default mixed 64)")
    what.add_argument(
        "--growth", type=int, nargs="+", default=[16, 32, 64, 128, 256, 512], help="tokens a text, not cut at --max-tokens (default 16 32 64 128 256 512)"
    )
    what.add_argument("--short", type=int, default=16, help="tokens of the texts that come alone to an idle contestant (default 16)")
    what.add_argument("--bulk", type=int, default=4096, help="texts of one bulk stream (default 4096)")
    what.add_argument("--clients", type=int, nargs="+", default=[1, 8, 32, 64, 256], help="of servers (default 1 8 32 64 256)")
    what.add_argument("--main-clients", type=int, default=32, help="of layers, growth and comparisons with engines; one of --clients (default 32)")
    what.add_argument("--dtypes", nargs="+", choices=["float32", "bfloat16"], default=["float32", "bfloat16"], help="default: both")
    what.add_argument("--seconds", type=float, default=10, help="of each measurement; a p99 wants 10 (default 10)")
    what.add_argument("--rounds", type=int, default=5, help="default 5")
    what.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)), help="that each contestant computes with (default: the cores there are)")
    what.add_argument("--max-tokens", type=int, default=256, help="where all cut longer texts (default 256)")
    what.add_argument("--no-peers", action="store_true", help="midlayer and the bare forward pass alone")
    what.add_argument("--quick", action="store_true", help="everything once for a moment, whatever the flags above say of rounds, seconds, clients and texts")
    where = parser.add_argument_group("programs and folders")
    where.add_argument("--model", type=Path, default=ROOT / "models/all-MiniLM-L6-v2", help="Hugging Face directory (default models/all-MiniLM-L6-v2)")
    where.add_argument("--build", type=Path, default=ROOT / "build/release", help="folder of midlayer-server, midlayer and forward (default build/release)")
    where.add_argument("--server-flags", default="", help="more flags of midlayer-server, as one string")
    where.add_argument("--ghz", default=str(ROOT / ".deps/bin/ghz"), help="default .deps/bin/ghz")
    where.add_argument("--peer-python", default=str(ROOT / ".deps/bench-venv/bin/python"), help="a Python with the peers' packages (default .deps/bench-venv)")
    where.add_argument("--infinity", default=str(ROOT / ".deps/infinity-venv/bin/infinity_emb"), help="its program (default .deps/infinity-venv)")
    where.add_argument("--router", default="text-embeddings-router", help="text-embeddings-inference's program, as built for HTTP (default: that on PATH)")
    where.add_argument("--work", type=Path, help="folder for the ONNX export and logs, kept (default: a temporary one)")
    where.add_argument("--out", type=Path, help="folder for peers.json, peers.md and plots (default docs/performance; with --quick a temporary one)")
    args = parser.parse_args()
    if not args.texts and not args.quick:
        parser.error("--texts is needed")
    if args.quick:
        args.rounds, args.seconds, args.count, args.growth, args.clients, args.main_clients, args.bulk = 1, 0.2, 32, [16, 64], [1, 4], 4, 64
    if args.main_clients not in args.clients:
        parser.error("--main-clients is not one of --clients")
    return args


def random_texts(folder: Path) -> Path:
    """Texts of up to 300 words, for a run without any of one's own."""
    draw = random.Random(1)
    file = folder / "random.jsonl"
    file.write_text("\n".join(json.dumps({"text": " ".join(draw.choices(WORDS, k=draw.choice([4, 16, 40, 300])))}) for _ in range(64)))
    return file


def make_plan(args: argparse.Namespace, work: Path) -> Plan:
    tools = Tools(model=args.model, server=args.build / "midlayer-server", cli=args.build / "midlayer", ghz=args.ghz, python=args.peer_python,
                  infinity=args.infinity, router=args.router, threads=args.threads, max_tokens=args.max_tokens,
                  server_flags=args.server_flags.split(), work=work)  # fmt: skip
    return Plan(tools=tools, forward=args.build / "forward", texts=args.texts or [random_texts(work)], count=args.count, lengths=args.lengths,
                growth=args.growth, short=args.short, bulk=args.bulk, clients=args.clients, main_clients=args.main_clients, dtypes=args.dtypes, seconds=args.seconds,
                rounds=args.rounds, peers=not args.no_peers, quick=args.quick)  # fmt: skip


def write(figures: dict, out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    text = report.markdown(figures)
    (out / "peers.json").write_text(json.dumps(figures, indent=1, ensure_ascii=False) + "\n")
    (out / "peers.md").write_text(text)
    report.write_plots(figures, out)
    print(text)


def main() -> None:
    args = parse_arguments()
    with tempfile.TemporaryDirectory() as scratch:
        work = (args.work or Path(scratch)).resolve()
        work.mkdir(parents=True, exist_ok=True)
        out = args.out or (Path(scratch) / "out" if args.quick else ROOT / "docs/performance")
        run = Run(make_plan(args, work))
        try:
            run.start()
            run.read_corpora()
            run.compare_vectors()
            for number in range(args.rounds):
                run.round(number)
                write(run.figures, out)  # after every round: a run that is cut short leaves what it has
        finally:
            run.stop()


if __name__ == "__main__":
    main()
