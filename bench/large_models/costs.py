"""What a model costs, from its shape alone: parameters, bytes, floating point operations, time by a roofline."""

from __future__ import annotations

from shapes import Gpu, Shape

WIDTH = {"float32": 4, "bfloat16": 2}  # bytes of a number; float16 is as wide as bfloat16
FLOAT32 = WIDTH["float32"]


def embedding_parameters(shape: Shape) -> int:
    return shape.vocabulary * shape.hidden


def block_matrices(shape: Shape) -> int:
    """Parameters of a block's matrix products."""
    qkv = shape.hidden * (shape.heads + 2 * shape.kv_heads) * shape.head_size
    attention_out = shape.heads * shape.head_size * shape.hidden
    mlp = (3 if shape.gated_mlp else 2) * shape.hidden * shape.intermediate
    return qkv + attention_out + mlp


def block_biases(shape: Shape) -> int:
    qkv = (shape.heads + 2 * shape.kv_heads) * shape.head_size
    others = shape.hidden + shape.intermediate * (2 if shape.gated_mlp else 1) + shape.hidden
    return shape.qkv_bias * qkv + shape.other_biases * others


def norm_parameters(shape: Shape) -> int:
    return shape.hidden * (2 if shape.norm_bias else 1)


def block_norms(shape: Shape) -> int:
    return shape.block_norms * norm_parameters(shape) + shape.qk_norm * 2 * shape.head_size


def block_parameters(shape: Shape) -> int:
    return block_matrices(shape) + block_biases(shape) + block_norms(shape)


def checkpoint_parameters(shape: Shape) -> int:
    tables = 1 if shape.tied else 2
    return tables * embedding_parameters(shape) + shape.layers * block_parameters(shape) + norm_parameters(shape)


def block_bytes(shape: Shape, dtype: str) -> int:
    """Norms stay float32."""
    return WIDTH[dtype] * (block_matrices(shape) + block_biases(shape)) + FLOAT32 * block_norms(shape)


def weight_bytes(shape: Shape, layer: int, dtype: str) -> int:
    """What --max-layer LAYER keeps: the embedding table, the final norm and so many blocks. Never the output head."""
    return WIDTH[dtype] * embedding_parameters(shape) + FLOAT32 * norm_parameters(shape) + layer * block_bytes(shape, dtype)


def attention_bytes_per_token(shape: Shape, width: int) -> int:
    """Residual stream and its norm; qkv; queries and keys turned; the output; keys and values repeated for all heads; the context.
    FlashAttention on a GPU repeats nothing."""
    queries, keys = shape.heads * shape.head_size, shape.kv_heads * shape.head_size
    repeated = 2 * queries if keys < queries else 0
    return 2 * FLOAT32 * shape.hidden + width * ((queries + 2 * keys) + (queries + keys) + queries + repeated + queries)


def mlp_bytes_per_token(shape: Shape, width: int) -> int:
    """Residual stream before and after the attention, and its norm (side by side: also the attention's output and input); gate and
    up, activated gate and product, or up and activated."""
    residuals = (4 * FLOAT32 + width if shape.parallel else 3 * FLOAT32) * shape.hidden
    return residuals + width * (4 if shape.gated_mlp else 2) * shape.intermediate


def activation_bytes_per_token(shape: Shape, dtype: str) -> int:
    """Of the step of server/models/transformer.cc in which the most lives at the same time."""
    width = WIDTH[dtype]
    return max(attention_bytes_per_token(shape, width), mlp_bytes_per_token(shape, width))


def attention_flops_per_token(shape: Shape, text_tokens: int) -> int:
    """Scores and weighted sum of one layer, without what a causal kernel may leave out."""
    return 4 * text_tokens * shape.heads * shape.head_size


def flops_per_token(shape: Shape, layer: int, text_tokens: int) -> int:
    return layer * (2 * block_matrices(shape) + attention_flops_per_token(shape, text_tokens))


def peak_flops(gpu: Gpu, dtype: str) -> float:
    return 1e12 * (gpu.float32_tflops if dtype == "float32" else gpu.bfloat16_tflops)


def pass_seconds(shape: Shape, layer: int, dtype: str, gpu: Gpu, batch_tokens: int, text_tokens: int, efficiency: float) -> float:
    """The longer of computing and of reading the weights of the blocks once."""
    compute = batch_tokens * flops_per_token(shape, layer, text_tokens) / (peak_flops(gpu, dtype) * efficiency)
    read = layer * block_bytes(shape, dtype) / (1e12 * gpu.terabytes_per_second)
    return max(compute, read)


def break_even_tokens(gpu: Gpu, dtype: str, efficiency: float) -> float:
    """Batches of fewer tokens wait for memory, larger ones for arithmetic; the attention left out."""
    return peak_flops(gpu, dtype) * efficiency / (1e12 * gpu.terabytes_per_second) * WIDTH[dtype] / 2


def deepest_layer(shape: Shape, dtype: str, gpu: Gpu, tokens: int, reserve_bytes: float) -> int:
    """The deepest layer that fits the GPU beside the activations of so many tokens; -1 where not even the embeddings do."""
    activations = tokens * activation_bytes_per_token(shape, dtype)
    room = 1e9 * gpu.gigabytes - reserve_bytes - activations - weight_bytes(shape, 0, dtype)
    return min(shape.layers, int(room // block_bytes(shape, dtype))) if room >= 0 else -1
