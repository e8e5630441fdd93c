#!/usr/bin/env python3
"""Writes fixtures.json and head.safetensors: small trained pooling heads, and what plain numpy makes of them.

    pip install numpy torch safetensors        (2.4.6, 2.11.0 and 0.8.0 wrote the files that are here)
    python generate.py

The computation follows the published module line by line, text by text and head by head, in float64, so that it shares
no shortcut with server/nn/attention_pool.cc. Numbers are rounded to 3 digits. torch only saves an attn_pool.pt, of
which tools/convert_pooling_head.py makes head.safetensors.
"""

import json
import math
import pathlib
import subprocess
import sys
import tempfile

import numpy as np

HERE = pathlib.Path(__file__).resolve().parent
CONVERTER = HERE.parents[2] / "tools" / "convert_pooling_head.py"
RANDOM = np.random.default_rng(5)


def draw(*shape, scale=1.0):
    return np.round(RANDOM.normal(size=shape) * scale, 3)


def head_weights(hidden, latents, heads, head_size, mlp, table_rows=0):
    """By the names of attn_pool.pt. `mlp`: width behind the gate."""
    inner = heads * head_size
    weights = {
        "latents": draw(latents, hidden),
        "cross_attend_blocks.0.fn.to_q.weight": draw(inner, hidden),
        "cross_attend_blocks.0.fn.to_kv.weight": draw(2 * inner, hidden),
        "cross_attend_blocks.0.fn.to_out.weight": draw(hidden, inner, scale=0.5),
        "cross_attend_blocks.1.fn.net.0.weight": draw(2 * mlp, hidden, scale=0.5),
        "cross_attend_blocks.1.fn.net.0.bias": draw(2 * mlp),
        "cross_attend_blocks.1.fn.net.2.weight": draw(hidden, mlp, scale=0.5),
        "cross_attend_blocks.1.fn.net.2.bias": draw(hidden),
    }
    for norm in ("cross_attend_blocks.0.norm", "cross_attend_blocks.0.norm_context", "cross_attend_blocks.1.norm"):
        weights[norm + ".weight"] = 1 + draw(hidden, scale=0.3)
        weights[norm + ".bias"] = draw(hidden, scale=0.3)
    if table_rows:
        weights["pos_emb.weight"] = draw(table_rows, hidden)
    return weights


def layer_norm(x, weights, module):
    mean = x.mean(axis=-1, keepdims=True)
    variance = ((x - mean) ** 2).mean(axis=-1, keepdims=True)
    return (x - mean) / np.sqrt(variance + 1e-5) * weights[module + ".weight"] + weights[module + ".bias"]


def gelu(x):
    return 0.5 * x * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))


def attention(rows, latents, heads, weights):
    block = "cross_attend_blocks.0.fn."
    q = latents @ weights[block + "to_q.weight"].T
    k, v = np.split(rows @ weights[block + "to_kv.weight"].T, 2, axis=1)
    mixed = []
    for q_h, k_h, v_h in zip(*(np.split(part, heads, axis=1) for part in (q, k, v)), strict=True):
        scores = q_h @ k_h.T / math.sqrt(q_h.shape[1])
        shares = np.exp(scores - scores.max(axis=1, keepdims=True))
        mixed.append(shares / shares.sum(axis=1, keepdims=True) @ v_h)
    return np.concatenate(mixed, axis=1) @ weights[block + "to_out.weight"].T


def pool(x, heads, weights):
    """x: (S, D) of one text. Returns (D)."""
    if "pos_emb.weight" in weights:
        x = x + weights["pos_emb.weight"][:len(x)]
    latents = weights["latents"]
    y = latents + attention(layer_norm(x, weights, "cross_attend_blocks.0.norm"),
                            layer_norm(latents, weights, "cross_attend_blocks.0.norm_context"), heads, weights)
    net = "cross_attend_blocks.1.fn.net."
    inner = layer_norm(y, weights, "cross_attend_blocks.1.norm") @ weights[net + "0.weight"].T + weights[net + "0.bias"]
    value, gate = np.split(inner, 2, axis=1)
    z = y + (value * gelu(gate)) @ weights[net + "2.weight"].T + weights[net + "2.bias"]
    mean = z.mean(axis=0)
    return mean / max(np.linalg.norm(mean), 1e-12)


def texts(x, heads, weights):
    return {"heads": heads, "x": x.tolist(), "expected": [pool(text, heads, weights).tolist() for text in x]}


def case(name, batch, rows, heads, **sizes):
    weights = head_weights(heads=heads, **sizes)
    x = draw(batch, rows, sizes["hidden"], scale=2)
    listed = {key: value.tolist() for key, value in weights.items()}
    return {"name": name, "weights": listed, **texts(x, heads, weights)}


# Sizes are chosen so that each way to fold weights, and each order of mixing and projecting, is taken.
def cases():
    return [
        case("design 2: one row", batch=3, rows=1, heads=2, hidden=6, latents=3, head_size=4, mlp=24),
        case("design 3: one row a layer, nothing to fold",
             batch=2, rows=4, heads=3, hidden=6, latents=5, head_size=2, mlp=24, table_rows=4),
        case("design 4: more tokens than latents", batch=2, rows=7, heads=2, hidden=5, latents=3, head_size=2, mlp=20),
        case("design 5: fewer layers than the table has rows",
             batch=3, rows=3, heads=2, hidden=4, latents=4, head_size=3, mlp=16, table_rows=6),
        case("one latent", batch=2, rows=5, heads=4, hidden=8, latents=1, head_size=1, mlp=12),
        case("more rows than latents, all folded", batch=2, rows=6, heads=1, hidden=4, latents=2, head_size=8, mlp=8),
    ]


def converted_head():
    """A head of design 3 that went through torch and the converter."""
    import torch

    weights = head_weights(hidden=8, latents=3, heads=2, head_size=4, mlp=32, table_rows=4)
    with tempfile.TemporaryDirectory() as folder:
        saved = pathlib.Path(folder) / "attn_pool.pt"
        torch.save({name: torch.tensor(value, dtype=torch.float32) for name, value in weights.items()}, saved)
        output = HERE / "head.safetensors"
        subprocess.run([sys.executable, CONVERTER, saved, output, "--design=3", "--heads=2"], check=True)
    return texts(draw(2, 4, 8, scale=2), 2, weights)


def main():
    fixtures = {"cases": cases(), "converted": converted_head()}
    (HERE / "fixtures.json").write_text(json.dumps(fixtures) + "\n")


if __name__ == "__main__":
    main()
