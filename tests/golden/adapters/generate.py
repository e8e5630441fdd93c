#!/usr/bin/env python3
"""Make the adapters of this folder, and what PEFT makes of them.

Models and factors are tiny and random, from fixed seeds. PEFT writes the adapters, merges them (merge_and_unload) and
says which of its patterns is meant for a module; nothing is computed here.

    python generate.py        # needs ../requirements.txt and peft 0.21.2; writes beside itself

README.md of the folder above tells what is in each file.
"""

import json
import os
import shutil
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from peft.utils.other import get_pattern_key
from safetensors.torch import save_file
from transformers import AutoModel, AutoTokenizer, GPT2Config, GPT2Model, LlamaConfig, LlamaForCausalLM, PreTrainedModel

HERE = Path(__file__).resolve().parent
BERT = HERE.parent / "models" / "bert"
TEXTS = json.loads((HERE.parent / "texts.json").read_text())
SHORT_TEXTS = (0, 2)  # of TEXTS


def tensors(**named: torch.Tensor) -> dict[str, torch.Tensor]:
    return {name: tensor.detach().contiguous() for name, tensor in named.items()}


def randomize(model: torch.nn.Module, seed: int, only: str = "") -> None:
    """Fills the parameters whose names contain `only` with numbers that bfloat16 has too."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in sorted(model.named_parameters()):
            if only in name:
                values = torch.randn(parameter.shape, generator=generator) * 0.3
                parameter.copy_(values.to(torch.bfloat16))


def save_adapter(model: PreTrainedModel, config: LoraConfig, folder: Path, **options) -> PeftModel:
    """Puts a random adapter on the model, writes both parts of it, and returns the model with the adapter."""
    adapted = get_peft_model(model, config, **options)
    randomize(adapted, seed=7, only="lora_")
    # PEFT would write the path that the model was read from.
    adapted.peft_config["default"].base_model_name_or_path = f"example/{folder.name}"
    shutil.rmtree(folder, ignore_errors=True)
    adapted.save_pretrained(folder)
    (folder / "README.md").unlink()
    written = json.loads((folder / "adapter_config.json").read_text())
    if isinstance(written["target_modules"], list):  # a set in PEFT, so in any order
        written["target_modules"].sort()
    (folder / "adapter_config.json").write_text(json.dumps(written, indent=2, sort_keys=True))
    return adapted


def merged(base: PreTrainedModel, folder: Path) -> dict[str, torch.Tensor]:
    """The weights that the saved adapter changes, as PEFT merges them in the type of `base`."""
    before = {name: weight.clone() for name, weight in base.state_dict().items()}
    after = PeftModel.from_pretrained(base, folder).merge_and_unload().state_dict()
    assert before.keys() == after.keys()
    return tensors(**{name: weight for name, weight in after.items() if not torch.equal(weight, before[name])})


def states(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Hidden states of the short texts, in the names of the golden models."""
    tokenizer = AutoTokenizer.from_pretrained(BERT)
    found = {}
    for i in SHORT_TEXTS:
        ids = tokenizer(TEXTS[i], return_tensors="pt")["input_ids"]
        found[f"ids.{i}"] = ids[0]
        with torch.inference_mode():
            hidden = model(input_ids=ids, output_hidden_states=True).hidden_states
        found |= {f"raw.{layer}.{i}": state[0].clone() for layer, state in enumerate(hidden)}
    return tensors(**found)


def make_bert() -> None:
    """Rank-stabilised, modules by a regular expression; the pooler is adapted too, and no hidden state shows it."""
    folder = HERE / "bert"

    def base() -> PreTrainedModel:
        return AutoModel.from_pretrained(BERT, attn_implementation="eager").eval()

    config = LoraConfig(r=4, lora_alpha=6, use_rslora=True, lora_dropout=0.1,
                        target_modules=r"encoder\.layer\.[02]\..*(query|intermediate\.dense)|pooler\.dense")
    adapted = save_adapter(base(), config, folder).eval()
    save_file(states(adapted), folder / "golden.safetensors")  # not merged: x W' + scale (x A') B'
    save_file(merged(base(), folder), folder / "merged.safetensors")


def llama(dtype: torch.dtype) -> PreTrainedModel:
    config = LlamaConfig(hidden_size=8, intermediate_size=12, num_hidden_layers=2, num_attention_heads=2,
                         num_key_value_heads=1, vocab_size=16, max_position_embeddings=8)
    model = LlamaForCausalLM(config)
    randomize(model, seed=3)
    return model.to(dtype).eval()


def make_llama() -> None:
    """Ranks and alphas by pattern; names begin with "model."."""
    folder = HERE / "llama"
    config = LoraConfig(r=2, lora_alpha=4, target_modules=["q_proj", "v_proj", "down_proj"],
                        rank_pattern={"down_proj": 3, r"^model\.layers\.1\.self_attn\.q_proj": 1},
                        alpha_pattern={"layers.0.self_attn.v_proj": 5, "v_proj": 9})
    save_adapter(llama(torch.float32), config, folder)
    base = llama(torch.float32)
    save_file(tensors(**base.state_dict()), folder / "base.safetensors")
    save_file(merged(base, folder), folder / "merged.safetensors")


def make_llama_bfloat16() -> None:
    """Weights and factors in bfloat16, merged in float32 and in bfloat16."""
    folder = HERE / "llama_bfloat16"
    config = LoraConfig(r=2, lora_alpha=3, target_modules=["o_proj"])
    save_adapter(llama(torch.bfloat16), config, folder, autocast_adapter_dtype=False)
    base = llama(torch.bfloat16)
    save_file(tensors(**base.state_dict()), folder / "base.safetensors")
    save_file(merged(base.float(), folder), folder / "merged.safetensors")
    save_file(merged(llama(torch.bfloat16), folder), folder / "merged_bfloat16.safetensors")


def make_gpt2() -> None:
    """Conv1D: weights are stored as (in, out); attn.c_proj is square."""
    folder = HERE / "gpt2"

    def base() -> PreTrainedModel:
        model = GPT2Model(GPT2Config(n_embd=8, n_layer=1, n_head=2, n_positions=8, n_inner=12, vocab_size=16)).eval()
        randomize(model, seed=5)
        return model

    config = LoraConfig(r=2, lora_alpha=4, target_modules=["c_attn", "c_proj"], fan_in_fan_out=True)
    save_adapter(base(), config, folder)
    save_file(tensors(**base().state_dict()), folder / "base.safetensors")
    save_file(merged(base(), folder), folder / "merged.safetensors")


def make_patterns() -> None:
    """Which of several keys of rank_pattern PEFT takes for a module: its index, or null."""
    query, long_query = "encoder.layer.1.attention.self.query", "model.layers.11.self_attn.q_proj"
    cases = [
        (query, ["query"]), (query, ["uery"]), (query, ["self.query"]), (query, ["selfxquery"]), (query, ["quer"]),
        (query, ["key", "query"]), (query, ["query", "self.query"]), (query, ["self.query", "query"]),
        (query, ["layer.1"]), (query, ["layer.1.*"]), (query, ["^encoder.*"]), (query, ["^query"]), (query, ["query$"]),
        (query, [r"layer\.[02]\..*", r"layer\.[13]\..*"]), (query, ["key|query"]), (query, ["key|encoder.layer"]),
        (query, ["encoder)|(key"]), (query, ["(?P<name>query)"]), (query, [query]), (query, [""]), (query, ["."]),
        (long_query, ["layers.1.self_attn.q_proj"]), (long_query, ["layers.11.self_attn.q_proj"]),
        (long_query, [r"layers\.\d\..*"]), (long_query, [r"layers\.\d+\..*"]),
        (long_query, [r"layers\.\d{2}\.\w+\.q_\w+"]),
        ("q_proj", ["q_proj"]), ("q_proj", ["model.q_proj"]), ("xq_proj", ["q_proj"]),
    ]
    rows = []
    for module, keys in cases:
        key = get_pattern_key(keys, module)
        rows.append({"module": module, "keys": keys, "taken": keys.index(key) if key in keys else None})
    lines = ",\n".join(json.dumps(row) for row in rows)
    (HERE / "patterns.json").write_text(f"[\n{lines}\n]\n")


def main() -> None:
    torch.set_num_threads(1)
    make_bert()
    make_llama()
    make_llama_bfloat16()
    make_gpt2()
    make_patterns()


if __name__ == "__main__":
    main()
