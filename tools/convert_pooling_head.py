#!/usr/bin/env python3
"""Converts a trained pooling head of "Pooling and Attention" for midlayer-server.

    python convert_pooling_head.py attn_pool.pt head.safetensors --design 3

attn_pool.pt is what the training scripts of github.com/yixuantt/PoolingAndAttn save. The design is the number of the
model that was trained: 2 and 4 pool the last layer, 3 and 5 all layers; 2 and 3 were trained with causal attention,
4 and 5 with bidirectional. Neither it nor the number of heads (32 unless the code was changed) shows in the weights.

Needs torch and safetensors. Only tensors are read from the file; a pickle that wants to run code is refused.
"""

import argparse
import sys

import torch
from safetensors.torch import save_file

LAYER_TABLE = "pos_emb.weight"
LATENTS = "latents"
TO_QUERY = "cross_attend_blocks.0.fn.to_q.weight"
MLP_OUT = "cross_attend_blocks.1.fn.net.2.weight"


class Refused(Exception):
    """What is wrong with the input, for the user."""


def read(path):
    """The tensors of a state_dict by name."""
    try:
        tensors = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except OSError as error:
        raise Refused(error.strerror or str(error)) from error
    except Exception as error:  # torch.load has no error type of its own
        raise Refused(f"expected a state_dict saved by torch.save: {error}") from error
    if not isinstance(tensors, dict):
        raise Refused(f"expected a state_dict, found {type(tensors).__name__}")
    for name, tensor in tensors.items():
        if not isinstance(name, str) or not isinstance(tensor, torch.Tensor) or not tensor.is_floating_point():
            raise Refused(f"{name}: expected a tensor of floating point numbers")
    return tensors


def matrix(tensors, name):
    """The shape of a tensor that sizes are read from."""
    if name not in tensors:
        raise Refused(f"tensor {name}: expected a matrix, found none")
    shape = list(tensors[name].shape)
    if len(shape) != 2 or min(shape) < 1:
        raise Refused(f"tensor {name}: expected a matrix, found {shape}")
    return shape


def expected_shapes(tensors, multi_layer):
    """Every tensor of a head, with the shape that follows from four of them."""
    latents, hidden = matrix(tensors, LATENTS)
    inner = matrix(tensors, TO_QUERY)[0]
    mlp = matrix(tensors, MLP_OUT)[1]
    shapes = {
        LATENTS: [latents, hidden],
        TO_QUERY: [inner, hidden],
        "cross_attend_blocks.0.fn.to_kv.weight": [2 * inner, hidden],
        "cross_attend_blocks.0.fn.to_out.weight": [hidden, inner],
        "cross_attend_blocks.1.fn.net.0.weight": [2 * mlp, hidden],
        "cross_attend_blocks.1.fn.net.0.bias": [2 * mlp],
        MLP_OUT: [hidden, mlp],
        "cross_attend_blocks.1.fn.net.2.bias": [hidden],
    }
    for norm in ("cross_attend_blocks.0.norm", "cross_attend_blocks.0.norm_context", "cross_attend_blocks.1.norm"):
        shapes[f"{norm}.weight"] = shapes[f"{norm}.bias"] = [hidden]
    if multi_layer:
        shapes[LAYER_TABLE] = [matrix(tensors, LAYER_TABLE)[0], hidden]
    return shapes


def check(tensors, design, heads):
    """Refuses what the server would refuse, in the same words."""
    multi_layer = design in (3, 5)
    if LAYER_TABLE in tensors and not multi_layer:
        raise Refused(f"tensor {LAYER_TABLE}: expected none in design {design}, found one: a head of design 3 or 5")
    shapes = expected_shapes(tensors, multi_layer)
    for name, shape in shapes.items():
        found = list(tensors[name].shape) if name in tensors else "none"
        if found != shape:
            raise Refused(f"tensor {name}: expected {shape}, found {found}")
    for name in tensors:
        if name not in shapes:
            raise Refused(f"tensor {name}: expected none of this name in a pooling head")
    if shapes[TO_QUERY][0] % heads != 0:
        raise Refused(f"tensor {TO_QUERY}: expected rows that {heads} heads divide, found {shapes[TO_QUERY][0]}")


def number_of_heads(text):
    heads = int(text)
    if heads < 1:
        raise ValueError
    return heads


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("input", help="attn_pool.pt")
    parser.add_argument("output", help="the file to write, head.safetensors")
    parser.add_argument("--design", type=int, choices=[2, 3, 4, 5], required=True)
    parser.add_argument("--heads", type=number_of_heads, default=32, help="32 unless the training code was changed")
    options = parser.parse_args()
    try:
        tensors = read(options.input)
        check(tensors, options.design, options.heads)
    except Refused as refused:
        sys.exit(f"{options.input}: {refused}")
    metadata = {"format": "midlayer.pooling_head", "version": "1", "design": str(options.design),
                "heads": str(options.heads)}
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, options.output, metadata=metadata)


if __name__ == "__main__":
    main()
