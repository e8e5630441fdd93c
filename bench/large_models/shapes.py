"""Shapes of published models, as their config.json has them, and published figures of GPUs."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Shape:
    """A decoder that midlayer-server serves. Letters as in ARCHITECTURE.md."""

    name: str
    model_type: str
    layers: int  # L
    hidden: int  # D
    heads: int  # N
    kv_heads: int  # K
    head_size: int  # H
    intermediate: int  # I, width of the MLP
    vocabulary: int
    checkpoint_parameters: int  # published, output head included; costs.py must come to the same number
    gated_mlp: bool = True
    parallel: bool = False  # attention and MLP side by side
    qkv_bias: bool = False
    other_biases: bool = False  # of the attention's output and of the MLP
    block_norms: int = 2
    norm_bias: bool = False
    qk_norm: bool = False
    tied: bool = True  # the output head is the embedding table


@dataclass(frozen=True)
class Gpu:
    """Published figures, without sparsity. float32 does not use tensor cores: the server does not turn TF32 on."""

    name: str
    bfloat16_tflops: float
    float32_tflops: float
    terabytes_per_second: float
    gigabytes: float


MEASURED = "Qwen2.5-0.5B"  # what load.py makes

MODELS = {
    shape.name: shape
    for shape in (
        Shape("Qwen2.5-0.5B", "qwen2", 24, 896, 14, 2, 64, 4864, 151936, 494_032_768, qkv_bias=True),
        Shape("Gemma 3 1B", "gemma3_text", 26, 1152, 4, 1, 256, 6912, 262144, 999_885_952, block_norms=4, qk_norm=True),
        Shape("Pythia-1.4B", "gpt_neox", 24, 2048, 16, 16, 128, 8192, 50304, 1_414_647_808, gated_mlp=False, parallel=True, qkv_bias=True,
              other_biases=True, norm_bias=True, tied=False),
        Shape("Qwen3-4B", "qwen3", 36, 2560, 32, 8, 128, 9728, 151936, 4_022_468_096, qk_norm=True),
        Shape("Llama-3.1-8B", "llama", 32, 4096, 32, 8, 128, 14336, 128256, 8_030_261_248, tied=False),
        Shape("Qwen3-14B", "qwen3", 40, 5120, 40, 8, 128, 17408, 151936, 14_768_307_200, qk_norm=True, tied=False),
        Shape("Qwen2.5-32B", "qwen2", 64, 5120, 40, 8, 128, 27648, 152064, 32_763_876_352, qkv_bias=True, tied=False),
        Shape("Llama-3.1-70B", "llama", 80, 8192, 64, 8, 128, 28672, 128256, 70_553_706_496, tied=False),
    )
}  # fmt: skip

GPUS = (
    Gpu("L4", bfloat16_tflops=121, float32_tflops=30.3, terabytes_per_second=0.300, gigabytes=24),
    Gpu("A100 SXM 80 GB", bfloat16_tflops=312, float32_tflops=19.5, terabytes_per_second=2.039, gigabytes=80),
    Gpu("H100 SXM", bfloat16_tflops=989, float32_tflops=67, terabytes_per_second=3.35, gigabytes=80),
    Gpu("H200 SXM", bfloat16_tflops=989, float32_tflops=67, terabytes_per_second=4.8, gigabytes=141),
)
