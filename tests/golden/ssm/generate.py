#!/usr/bin/env python3
"""Write ssm.safetensors: what MambaMixer of transformers computes for small random weights, for tests/nn/ssm_test.cc.

Made with transformers 5.23.0 and torch 2.11.0, float32, on a CPU, without kernels: the token loop of transformers.
Runs on one machine give the same bytes; another CPU may change the last bits.

For each case: NAME.WEIGHT as in a checkpoint, and for texts of several lengths NAME.x.T and NAME.y.T, both (T, D).

    python generate.py
"""

from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import MambaConfig
from transformers.models.mamba.modeling_mamba import MambaMixer

CHUNK = 32  # kScanChunk of server/nn/ssm.h
HIDDEN, INNER, STATES, KERNEL, RANK = 8, 12, 4, 4, 3
LENGTHS = (1, 2, KERNEL - 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK + 5)
CASES = {
    "plain": {"use_bias": False, "use_conv_bias": True, "hidden_act": "silu"},
    "biases": {"use_bias": True, "use_conv_bias": True, "hidden_act": "gelu"},
    "bare": {"use_bias": False, "use_conv_bias": False, "hidden_act": "silu"},
}


def random_mixer(options):
    config = MambaConfig(hidden_size=HIDDEN, state_size=STATES, conv_kernel=KERNEL, time_step_rank=RANK,
                         num_hidden_layers=1, **options)
    config.intermediate_size = INNER  # what it computes is a whole multiple of hidden_size
    mixer = MambaMixer(config, layer_idx=0).eval()
    for name, parameter in sorted(mixer.named_parameters()):
        torch.nn.init.normal_(parameter, mean=1 if name == "D" else 0, std=1 if name == "A_log" else 0.5)
    return mixer


@torch.no_grad()
def main():
    torch.manual_seed(7)
    tensors = {}
    for case, options in CASES.items():
        mixer = random_mixer(options)
        tensors |= {f"{case}.{name}": value for name, value in mixer.state_dict().items()}
        for length in LENGTHS:
            x = torch.randn(1, length, HIDDEN)
            tensors[f"{case}.x.{length}"] = x[0]
            tensors[f"{case}.y.{length}"] = mixer(x)[0].contiguous()
    save_file(tensors, Path(__file__).with_name("ssm.safetensors"))


if __name__ == "__main__":
    main()
