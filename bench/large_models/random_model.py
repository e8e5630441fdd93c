#!/usr/bin/env python3
"""Writes a checkpoint with random weights and the shape of shapes.MEASURED, as published: bfloat16, one file.

    .deps/bench-venv/bin/python bench/large_models/random_model.py DIR    # needs torch and numpy

Its tokenizer is that of tests/golden/models/qwen2: real, and small beside the published one.
"""

from __future__ import annotations

import json
import shutil
import struct
import sys
from pathlib import Path

import torch
from shapes import MEASURED, MODELS, Shape

TOKENIZER = Path(__file__).resolve().parents[2] / "tests/golden/models/qwen2"


def config_of(shape: Shape) -> dict:
    return {
        "architectures": ["Qwen2ForCausalLM"],
        "model_type": shape.model_type,
        "hidden_size": shape.hidden,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.kv_heads,
        "intermediate_size": shape.intermediate,
        "vocab_size": shape.vocabulary,
        "hidden_act": "silu",
        "max_position_embeddings": 32768,
        "rms_norm_eps": 1e-06,
        "rope_theta": 1000000.0,
        "tie_word_embeddings": shape.tied,
        "use_sliding_window": False,
        "dtype": "bfloat16",
    }


def block_shapes(shape: Shape) -> dict[str, tuple[int, ...]]:
    """Of the tensors of one block, by the ends of their names."""
    queries, keys = shape.heads * shape.head_size, shape.kv_heads * shape.head_size
    shapes: dict[str, tuple[int, ...]] = {"input_layernorm.weight": (shape.hidden,), "post_attention_layernorm.weight": (shape.hidden,)}
    for name, rows in (("q", queries), ("k", keys), ("v", keys)):
        shapes |= {f"self_attn.{name}_proj.weight": (rows, shape.hidden), f"self_attn.{name}_proj.bias": (rows,)}
    shapes["self_attn.o_proj.weight"] = (shape.hidden, queries)
    for name in ("gate", "up"):
        shapes[f"mlp.{name}_proj.weight"] = (shape.intermediate, shape.hidden)
    return shapes | {"mlp.down_proj.weight": (shape.hidden, shape.intermediate)}


def random_tensor(name: str, size: tuple[int, ...], generator: torch.Generator) -> torch.Tensor:
    tensor = torch.ones(size, dtype=torch.bfloat16)
    return tensor if "norm" in name else tensor.normal_(0, 0.02, generator=generator)


def random_weights(shape: Shape) -> dict[str, torch.Tensor]:
    shapes = {"model.embed_tokens.weight": (shape.vocabulary, shape.hidden), "model.norm.weight": (shape.hidden,)}
    for block in range(shape.layers):
        shapes |= {f"model.layers.{block}.{name}": size for name, size in block_shapes(shape).items()}
    generator = torch.Generator().manual_seed(1)
    return {name: random_tensor(name, size, generator) for name, size in shapes.items()}


def write_safetensors(file: Path, tensors: dict[str, torch.Tensor]) -> None:
    """Without the library, which machines with a GPU and PyTorch need not have."""
    header, end = {}, 0
    for name, tensor in tensors.items():
        begin, end = end, end + 2 * tensor.numel()
        header[name] = {"dtype": "BF16", "shape": list(tensor.shape), "data_offsets": [begin, end]}
    encoded = json.dumps({"__metadata__": {"format": "pt"}} | header).encode()
    with file.open("wb") as stream:
        stream.write(struct.pack("<Q", len(encoded)) + encoded)
        for tensor in tensors.values():
            tensor.view(torch.uint8).numpy().tofile(stream)


def main() -> None:
    folder, shape = Path(sys.argv[1]), MODELS[MEASURED]
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(TOKENIZER / name, folder)
    (folder / "config.json").write_text(json.dumps(config_of(shape), indent=1))
    weights = random_weights(shape)
    assert sum(tensor.numel() for tensor in weights.values()) == shape.checkpoint_parameters
    write_safetensors(folder / "model.safetensors", weights)


if __name__ == "__main__":
    main()
