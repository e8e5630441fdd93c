#!/usr/bin/env python3
"""What bench/gpu_check.py compares with: sentence-transformers in process. Prints one JSON object.

    gpu_peer.py MODEL TEXTS DTYPE DEVICE MAX_TOKENS BATCH SECONDS

As it does by itself, it sorts texts by length before it makes batches of them: here eight batches together, as a caller might have them.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import torch
from sentence_transformers import SentenceTransformer

CHUNK = 8  # batches that are sorted by length together
COMPARED = 16  # of the first texts, whose vectors are printed


def main() -> None:
    model_path, texts_path, dtype, device = sys.argv[1:5]
    max_tokens, batch, seconds = int(sys.argv[5]), int(sys.argv[6]), float(sys.argv[7])
    model = SentenceTransformer(model_path, device=device, model_kwargs={"dtype": getattr(torch, dtype)})
    model.max_seq_length = max_tokens
    texts = Path(texts_path).read_text().splitlines()

    def encode(some: list[str]) -> torch.Tensor:
        vectors = model.encode(some, batch_size=batch, show_progress_bar=False, convert_to_tensor=True)
        return vectors.float().cpu()  # waits for the device

    compared = encode(texts[:COMPARED])
    encode(texts[: CHUNK * batch])
    tokens, next_text, start = 0, 0, time.perf_counter()
    while (took := time.perf_counter() - start) < seconds:
        chunk = texts[next_text : next_text + CHUNK * batch]
        next_text = (next_text + len(chunk)) % len(texts)
        encode(chunk)
        # Counting the tokens again takes time of its own, which is not the peer's.
        pause = time.perf_counter()
        tokens += sum(len(ids) for ids in model.tokenizer(chunk, truncation=True, max_length=max_tokens)["input_ids"])
        start += time.perf_counter() - pause
    print(json.dumps({"tokens_per_second": tokens / took, "vectors": compared.tolist()}))


if __name__ == "__main__":
    main()
