"""Loads a model with transformers, for load.py: after each stage a line of JSON, then a line from standard input is awaited.

Arguments: directory, dtype, layers to load, threads.
"""

import json
import sys
import time

start = time.perf_counter()

import torch
import transformers


def stage_ends(name: str, **more: str) -> None:
    global start
    print(json.dumps({"stage": name, "seconds": time.perf_counter() - start, **more}), flush=True)
    sys.stdin.readline()
    start = time.perf_counter()


def main() -> None:
    directory, dtype, layers, threads = sys.argv[1], getattr(torch, sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
    torch.set_num_threads(threads)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    auto_model = transformers.AutoModel  # imports lazily
    stage_ends("import", transformers=transformers.__version__, torch=torch.__version__)
    model = auto_model.from_pretrained(directory, dtype=dtype, num_hidden_layers=layers)
    stage_ends("load")
    with torch.inference_mode():
        model(torch.zeros(1, 8, dtype=torch.long))  # as midlayer-server does before it serves
    stage_ends("first pass")


main()
