#!/usr/bin/env python3
"""An engine in a process of its own, asked by bench/peers.py: one JSON object a line in, one out.

Runs under the Python that has the peers' packages: engines.py ENGINE MODEL DTYPE THREADS MAX_TOKENS ONNX_FILE. ENGINE: sentence-transformers,
onnxruntime or openvino; the last two read ONNX_FILE, which is exported where it is missing.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from sentence_transformers import SentenceTransformer

CHUNK = 8  # batches that are sorted by length together


class Engine(Protocol):
    def encode(self, texts: list[str]) -> np.ndarray: ...  # of one batch


class Torch:
    def __init__(self, model: str, dtype: str, max_tokens: int) -> None:
        self._model = load(model, max_tokens)
        if dtype == "bfloat16":
            self._model.bfloat16()

    def encode(self, texts: list[str]) -> np.ndarray:
        vectors = self._model.encode(texts, batch_size=len(texts), show_progress_bar=False, convert_to_tensor=True)
        return vectors.float().numpy()


class Tokens:
    """Arrays of token ids and mask, padded to the longest text, from the tokenizers library alone."""

    def __init__(self, model: str, max_tokens: int) -> None:
        from tokenizers import Tokenizer

        self._tokenizer = Tokenizer.from_file(str(Path(model) / "tokenizer.json"))
        self._tokenizer.enable_truncation(max_tokens)
        self._tokenizer.enable_padding()

    def __call__(self, texts: list[str]) -> dict[str, np.ndarray]:
        encodings = self._tokenizer.encode_batch(texts)
        return {
            "input_ids": np.array([e.ids for e in encodings], dtype=np.int64),
            "attention_mask": np.array([e.attention_mask for e in encodings], dtype=np.int64),
        }


class OnnxRuntime:
    def __init__(self, model: str, onnx_file: str, threads: int, max_tokens: int) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self._tokens = Tokens(model, max_tokens)
        self._session = onnxruntime.InferenceSession(onnx_file, options, providers=["CPUExecutionProvider"])

    def encode(self, texts: list[str]) -> np.ndarray:
        return self._session.run(None, self._tokens(texts))[0]


class OpenVino:
    def __init__(self, model: str, onnx_file: str, dtype: str, threads: int, max_tokens: int) -> None:
        import openvino

        self._tokens = Tokens(model, max_tokens)
        hints = {
            "INFERENCE_PRECISION_HINT": {"float32": "f32", "bfloat16": "bf16"}[dtype],
            "INFERENCE_NUM_THREADS": threads,
            "PERFORMANCE_HINT": "LATENCY",
        }
        self._request = openvino.Core().compile_model(onnx_file, "CPU", hints).create_infer_request()

    def encode(self, texts: list[str]) -> np.ndarray:
        return np.array(self._request.infer(self._tokens(texts))[0])


def load(model: str, max_tokens: int) -> SentenceTransformer:
    loaded = SentenceTransformer(model, device="cpu")
    loaded.max_seq_length = max_tokens
    return loaded.eval()


class Exported(torch.nn.Module):
    """All of the model, pooling and normalisation included, with tensors in and out."""

    def __init__(self, model: SentenceTransformer) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        return self.model({"input_ids": input_ids, "attention_mask": attention_mask})["sentence_embedding"]


def export(model: str, max_tokens: int, file: Path) -> None:
    names = ["input_ids", "attention_mask"]
    example = tuple(torch.from_numpy(array) for array in Tokens(model, max_tokens)(["one text", "another, longer text"]).values())
    axes = {name: {0: "texts", 1: "tokens"} for name in names} | {"vectors": {0: "texts"}}
    with torch.no_grad():
        torch.onnx.export(Exported(load(model, max_tokens)), example, str(file), input_names=names, output_names=["vectors"],
                          dynamic_axes=axes, opset_version=18, dynamo=False)  # fmt: skip


def make(engine: str, model: str, dtype: str, threads: int, max_tokens: int, onnx_file: Path) -> Engine:
    torch.set_num_threads(threads)
    if engine == "sentence-transformers":
        return Torch(model, dtype, max_tokens)
    if not onnx_file.exists():
        export(model, max_tokens, onnx_file)
    if engine == "onnxruntime":
        return OnnxRuntime(model, str(onnx_file), threads, max_tokens)
    return OpenVino(model, str(onnx_file), dtype, threads, max_tokens)


def encode_sorted(engine: Engine, texts: list[str], batch: int) -> np.ndarray:
    """Vectors in the order of the texts, computed in batches of like length."""
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
    parts = [order[at : at + batch] for at in range(0, len(order), batch)]
    vectors = np.concatenate([engine.encode([texts[i] for i in part]) for part in parts])
    return vectors[np.argsort(order)]


def measure(engine: Engine, texts: list[str], batch: int, seconds: float) -> dict[str, object]:
    """Goes round the texts: one at a time, or in several batches sorted by length together."""
    step = batch * CHUNK if batch > 1 else 1
    at = requests = 0
    latencies = []
    start = time.perf_counter()
    while (before := time.perf_counter()) - start < seconds:
        part = [texts[(at + i) % len(texts)] for i in range(step)]
        encode_sorted(engine, part, batch)
        latencies.append(time.perf_counter() - before)
        at, requests = (at + step) % len(texts), requests + step
    return {"requests": requests, "seconds": time.perf_counter() - start, "latencies": latencies}


def main() -> None:
    name, model, dtype, threads, max_tokens, onnx_file = sys.argv[1:]
    answers, sys.stdout = sys.stdout, sys.stderr  # what the libraries print stays out of the answers
    engine = make(name, model, dtype, int(threads), int(max_tokens), Path(onnx_file))
    with torch.inference_mode():
        engine.encode(["a first text"])
        print("{}", file=answers, flush=True)
        for line in sys.stdin:
            asked = json.loads(line)
            if "vectors" in asked:
                result: object = encode_sorted(engine, asked["vectors"], 32).astype(float).tolist()
            else:
                result = measure(engine, asked["texts"], asked["batch"], asked["seconds"])
            print(json.dumps(result), file=answers, flush=True)


if __name__ == "__main__":
    main()
