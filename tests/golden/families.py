"""Golden fixtures of decoders, Gemma 3, ModernBERT and Mamba, and of LoRA adapters.

generate.py calls write_families; README.md tells what is in each folder.
"""

from __future__ import annotations

# First of all: it sets what the Hugging Face libraries read from the environment.
from common import (  # isort: skip
    CORPUS,
    HIDDEN,
    LAYERS,
    POOLINGS,
    TEXTS,
    check_layers,
    encode_plain,
    load_reference,
    pool,
    randomise,
    sentence_golden,
    write_json,
)
import copy
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import peft
import torch
import transformers
from safetensors.numpy import save_file as save_numpy
from safetensors.torch import load_file, save_file
from sentence_transformers import SentenceTransformer
from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers
from torch import nn
from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

VOCAB = 320
LENGTH = 128  # tokens a model says it takes; no text has as many
INNER = 48
LARGEST_FOLDER = 350_000  # bytes
FINAL_NORMS = {"gpt2": "ln_f", "gptj": "ln_f", "gpt_neox": "final_layer_norm", "mamba": "norm_f", "modernbert": "final_norm"}

# --- tokenizers ------------------------------------------------------------------------------------


def byte_level(special: dict[str, str], template: str = "$A") -> PreTrainedTokenizerBase:
    """A byte-level BPE; `template` puts special tokens around a text, as in "<s> $A"."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    names = list(dict.fromkeys(special.values()))
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB,
        special_tokens=names,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    if template != "$A":
        ids = [(name, tokenizer.token_to_id(name)) for name in template.split() if name != "$A"]
        around = processors.TemplateProcessing(single=template, special_tokens=ids)
        tokenizer.post_processor = processors.Sequence([tokenizer.post_processor, around])
    return transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=LENGTH, **special)


def llama_tokenizer() -> PreTrainedTokenizerBase:
    special = {"bos_token": "<|begin_of_text|>", "eos_token": "<|end_of_text|>"}
    return byte_level(special, "<|begin_of_text|> $A")


def mistral_tokenizer() -> PreTrainedTokenizerBase:
    return byte_level({"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>"}, "<s> $A")


def gpt_tokenizer() -> PreTrainedTokenizerBase:
    """GPT-2, GPT-NeoX, Qwen2 and Mamba add nothing: an empty text has no token."""
    return byte_level({"bos_token": "<|endoftext|>", "eos_token": "<|endoftext|>", "unk_token": "<|endoftext|>"})


def qwen3_tokenizer() -> PreTrainedTokenizerBase:
    """As Qwen3-Embedding: a text ends with <|endoftext|>."""
    special = {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"}
    return byte_level(special, "$A <|endoftext|>")


def gemma_tokenizer(template: str) -> PreTrainedTokenizerBase:
    special = {"pad_token": "<pad>", "eos_token": "<eos>", "bos_token": "<bos>", "unk_token": "<unk>"}
    return byte_level(special, template)


def modernbert_tokenizer() -> PreTrainedTokenizerBase:
    special = {f"{name.lower()}_token": f"[{name}]" for name in ("UNK", "CLS", "SEP", "PAD", "MASK")}
    return byte_level(special, "[CLS] $A [SEP]")


# --- states ----------------------------------------------------------------------------------------


def forget_lengths(model: PreTrainedModel) -> None:
    """Dynamic scaling keeps the frequencies of the longest text so far: no text may see those of another."""
    rotary = getattr(model, "rotary_emb", None)
    if rotary is not None and "dynamic" in rotary.rope_type:
        model.rotary_emb = type(rotary)(model.config)


def states_of(model: PreTrainedModel, ids: list[int], mask: Any = None) -> list[np.ndarray]:
    """The states 0..L of one text in the model's own type, as float32; state L is after the final norm."""
    forget_lengths(model)
    tokens = torch.tensor([ids])
    with torch.no_grad():
        output = model(tokens, attention_mask=mask, output_hidden_states=True)
        states = list(output.hidden_states)
        if model.config.model_type == "mamba":  # its list is: the output of every block, then the normed one
            states = [model.get_input_embeddings()(tokens), *states[:-2], states[-1]]
    assert len(states) == model.config.num_hidden_layers + 1
    assert torch.equal(states[-1], output.last_hidden_state)
    return [state[0].float().numpy().copy() for state in states]


def normed(model: PreTrainedModel, states: list[np.ndarray]) -> list[np.ndarray]:
    norm = getattr(model, FINAL_NORMS.get(model.config.model_type, "norm"))
    with torch.no_grad():
        return [*(norm(torch.from_numpy(state)).numpy() for state in states[:-1]), states[-1]]


def is_causal(config: PreTrainedConfig) -> bool:
    return config.model_type != "modernbert" and not getattr(config, "use_bidirectional_attention", False)


def masks(config: PreTrainedConfig, tokens: int, causal: bool, window: int | None) -> Any:
    """What each token sees, as transformers takes it: one mask, or one for each type of layer.

    A window of w lets token i see token j where |i - j| < w.
    """
    distance = torch.arange(tokens)[:, None] - torch.arange(tokens)[None, :]
    seen = distance >= 0 if causal else torch.full_like(distance, True, dtype=torch.bool)
    near = seen if window is None else seen & (distance.abs() < window)

    def additive(mask: torch.Tensor) -> torch.Tensor:
        return torch.zeros(mask.shape).masked_fill(~mask, torch.finfo(torch.float32).min)[None, None]

    if getattr(config, "layer_types", None):
        return {"full_attention": additive(seen), "sliding_attention": additive(near)}
    return additive(near)


def window_of(config: PreTrainedConfig) -> int | None:
    """The w of `masks`; ModernBERT counts half of its window on either side, with both ends."""
    window = getattr(config, "sliding_window", None)
    return window + 1 if config.model_type == "modernbert" else window


def largest_difference(first: list[np.ndarray], second: list[np.ndarray]) -> float:
    return max(float(np.abs(a - b).max()) for a, b in zip(first, second, strict=True))


def check_masks(model: PreTrainedModel, ids: list[int], states: list[np.ndarray]) -> None:
    """`masks` and `window_of` are the model's own rule, and a window is narrower than the text."""
    causal, window = is_causal(model.config), window_of(model.config)
    own = states_of(model, ids, masks(model.config, len(ids), causal, window))
    assert largest_difference(own, states) < 1e-5, model.config.model_type
    if window is not None:
        wide = states_of(model, ids, masks(model.config, len(ids), causal, None))
        assert largest_difference(wide, states) > 1e-2, model.config.model_type


# --- golden.safetensors ----------------------------------------------------------------------------


class Golden:
    """The tensors of one golden file, gathered text by text."""

    def __init__(self) -> None:
        self.tensors: dict[str, np.ndarray] = {}
        self.rows: dict[str, list[Any]] = {}

    def add_tokens(self, kind: str, text: int, states: list[np.ndarray]) -> None:
        self.tensors |= {f"{kind}.{layer}.{text}": state for layer, state in enumerate(states)}

    def add_pooled(self, kind: str, states: list[np.ndarray]) -> None:
        for layer, state in enumerate(states):
            for pooling in POOLINGS:
                self.add_row(f"{kind}.{pooling}.{layer}", pool(state, pooling))

    def add_row(self, name: str, value: Any) -> None:
        self.rows.setdefault(name, []).append(value)

    def finish(self) -> dict[str, np.ndarray]:
        stacked = {name: np.stack(rows).astype(np.float32) for name, rows in self.rows.items()}
        return self.tensors | stacked


def cosine(first: np.ndarray, second: np.ndarray) -> float:
    return float(first @ second / np.linalg.norm(first) / np.linalg.norm(second))


def add_bidirectional(golden: Golden, model: PreTrainedModel, i: int, ids: list[int], causal: list[np.ndarray]) -> None:
    states = states_of(model, ids, masks(model.config, len(ids), False, window_of(model.config)))
    assert len(ids) == 1 or largest_difference(states, causal) > 1e-2, (model.config.model_type, i)
    golden.add_pooled("bidirectional.pooled.raw", states)
    if i < 2:
        golden.add_tokens("bidirectional.raw", i, states)


def texts_of(folder: Path, tokenizer: PreTrainedTokenizerBase) -> list[str]:
    """The texts of the golden files; without the empty one, said by texts.json, where it has no token."""
    assert TEXTS[-1] == ""
    if encode_plain(tokenizer, folder, ""):
        return TEXTS
    write_json(folder / "texts.json", TEXTS[:-1])
    return TEXTS[:-1]


def model_golden(folder: Path, memory: PreTrainedModel) -> dict[str, np.ndarray]:
    """References for the saved model; `memory` is the encoder that was saved, which must give the same."""
    model, tokenizer = load_reference(folder)
    # Of this type from the start: converting a model would round its rotary frequencies too.
    half, _ = load_reference(folder, torch.bfloat16)
    golden = Golden()
    for i, text in enumerate(texts_of(folder, tokenizer)):
        ids = encode_plain(tokenizer, folder, text)
        assert 1 <= len(ids) <= LENGTH, (folder.name, i, len(ids))
        states = states_of(model, ids)
        assert largest_difference(states, states_of(memory, ids)) < 1e-5, folder.name
        check_layers(folder.name, golden.tensors, states)
        golden.tensors[f"ids.{i}"] = np.array(ids, dtype=np.int64)
        golden.add_tokens("raw", i, states)
        golden.add_pooled("pooled.raw", states)
        golden.add_pooled("pooled.normed", normed(model, states))
        for layer, (exact, rounded) in enumerate(zip(states, states_of(half, ids), strict=True)):
            golden.add_row(f"bfloat16.cosine.{layer}", cosine(pool(exact, "mean"), pool(rounded, "mean")))
        if model.config.model_type == "mamba":
            continue
        if i == 1:
            check_masks(model, ids, states)
        if is_causal(model.config):
            add_bidirectional(golden, model, i, ids, states)
    tensors = golden.finish()
    check_layers(folder.name, tensors, [])
    return tensors


# --- folders ---------------------------------------------------------------------------------------


def create(cls: type, tokenizer: PreTrainedTokenizerBase, seed: str, **options: Any) -> PreTrainedModel:
    sizes: dict[str, Any] = {"hidden_size": HIDDEN, "num_hidden_layers": LAYERS}
    if not cls.__name__.startswith("Mamba"):
        inner = "n_inner" if cls.__name__.startswith(("GPT2", "GPTJ")) else "intermediate_size"
        sizes |= {"num_attention_heads": 4, inner: INNER, "max_position_embeddings": LENGTH}
    ids = {name: getattr(tokenizer, name) for name in ("bos_token_id", "eos_token_id", "pad_token_id")}
    model = cls(cls.config_class(vocab_size=len(tokenizer), **(sizes | ids | options))).eval()
    randomise(model, seed)
    return model


def save(
    folder: Path,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    rewrite: Callable[[Path], None] | None = None,
    **options: Any,
) -> None:
    """Write the directory; `rewrite` changes it to what another program or version would have saved."""
    shutil.rmtree(folder, ignore_errors=True)
    model.save_pretrained(folder, **options)
    tokenizer.save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)
    if rewrite is not None:
        rewrite(folder)


def save_golden(folder: Path, tensors: dict[str, np.ndarray]) -> None:
    save_numpy(tensors, folder / "golden.safetensors")
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    assert size < LARGEST_FOLDER, (folder.name, size)


def write(folder: Path, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, **options: Any) -> None:
    save(folder, model, tokenizer, **options)
    save_golden(folder, model_golden(folder, model.base_model))


def change_config(folder: Path, drop: tuple[str, ...], add: dict[str, Any]) -> None:
    config = json.loads((folder / "config.json").read_text())
    for key in drop:
        del config[key]
    (folder / "config.json").write_text(json.dumps(dict(sorted((config | add).items())), indent=2) + "\n")


def version_4(drop: tuple[str, ...], add: dict[str, Any]) -> Callable[[Path], None]:
    """A rewrite of config.json to the form of transformers 4."""
    common = {"torch_dtype": "float32", "transformers_version": "4.55.0"}
    return lambda folder: change_config(folder, ("dtype", *drop), common | add)


def add_buffers(folder: Path, prefix: str, names: dict[str, torch.Tensor]) -> None:
    """Put in the buffers that old checkpoints have beside the weights of every block."""
    weights = load_file(folder / "model.safetensors")
    weights |= {f"{prefix}.{i}.{name}": value.clone() for i in range(LAYERS) for name, value in names.items()}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


# --- GPT -------------------------------------------------------------------------------------------


POSITIONS = 96  # in the tables whose size grows with it


def causal_buffer(dtype: torch.dtype) -> torch.Tensor:
    return torch.ones(POSITIONS, POSITIONS).tril().to(dtype)[None, None]


def as_old_gpt_neox(folder: Path) -> None:
    """As Pythia's checkpoints are on the Hub."""
    version_4(("rope_parameters",), {"rotary_pct": 0.5, "rotary_emb_base": 500})(folder)
    buffers = {
        "attention.bias": causal_buffer(torch.bool),
        "attention.masked_bias": torch.tensor(-1e9),
        "attention.rotary_emb.inv_freq": 500.0 ** -(torch.arange(0, 4, 2) / 4),
    }
    add_buffers(folder, "gpt_neox.layers", buffers)
    assert "embed_out.weight" in load_file(folder / "model.safetensors")


def write_gpt(root: Path) -> None:
    tokenizer = gpt_tokenizer()
    rope = {"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.25}
    options: dict[str, Any] = {"num_attention_heads": 2, "rope_parameters": rope}
    write(root / "gpt_neox", create(transformers.GPTNeoXModel, tokenizer, "gpt_neox", **options), tokenizer)
    rope = {"rope_type": "default", "rope_theta": 500.0, "partial_rotary_factor": 0.5}
    options = {"rope_parameters": rope, "use_parallel_residual": False, "layer_norm_eps": 1e-2}
    options |= {"hidden_size": 24, "num_attention_heads": 3, "max_position_embeddings": POSITIONS}
    serial = create(transformers.GPTNeoXForCausalLM, tokenizer, "gpt_neox_serial", **options)
    write(root / "gpt_neox_serial", serial, tokenizer, rewrite=as_old_gpt_neox)

    positions = {"max_position_embeddings": POSITIONS}
    gpt2 = create(transformers.GPT2LMHeadModel, tokenizer, "gpt2", **positions)
    write(root / "gpt2", gpt2, tokenizer)
    options = {"scale_attn_by_inverse_layer_idx": True, "activation_function": "relu", "layer_norm_epsilon": 1e-2}
    options |= {"hidden_size": 24, "num_attention_heads": 3, "n_inner": None}
    scaled = create(transformers.GPT2Model, tokenizer, "gpt2_scaled", **options, **positions)
    buffers = {"attn.bias": causal_buffer(torch.uint8), "attn.masked_bias": torch.tensor(-1e4)}
    write(root / "gpt2_scaled", scaled, tokenizer, rewrite=lambda folder: add_buffers(folder, "h", buffers))

    options = {"hidden_size": 24, "num_attention_heads": 3, "rotary_dim": 4, "n_inner": None}
    gptj = create(transformers.GPTJForCausalLM, tokenizer, "gptj", **options, **positions)
    write(root / "gptj", gptj, tokenizer)


# --- Llama and its kin -----------------------------------------------------------------------------

LLAMA_SIZES = {"hidden_size": 24, "num_attention_heads": 6, "num_key_value_heads": 2, "head_dim": 16}
ROPES: dict[str, dict[str, Any]] = {
    "linear": {"rope_theta": 500.0, "factor": 4.0},
    "dynamic": {"rope_theta": 10000.0, "factor": 2.0},
    "llama3": {
        "rope_theta": 10000.0,
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 32,
    },
    "yarn": {
        "rope_theta": 10000.0,
        "factor": 4.0,
        "beta_fast": 2.0,
        "beta_slow": 0.05,
        "original_max_position_embeddings": 32,
    },
}


def create_llama(tokenizer: PreTrainedTokenizerBase, rope: dict[str, Any], **options: Any) -> PreTrainedModel:
    """The same weights whatever the rotary scaling."""
    options = {"tie_word_embeddings": True, "rope_parameters": dict(rope)} | LLAMA_SIZES | options
    return create(transformers.LlamaForCausalLM, tokenizer, "llama", **options)


def check_scaling_acts(folder: Path, plain: PreTrainedModel) -> None:
    golden = load_file(folder / "golden.safetensors")
    states = states_of(plain.base_model, golden["ids.1"].tolist())
    assert np.abs(states[LAYERS] - golden[f"raw.{LAYERS}.1"].numpy()).max() > 1e-2, folder.name


def write_scaled_llamas(root: Path, tokenizer: PreTrainedTokenizerBase) -> None:
    for kind, parameters in ROPES.items():
        rope = {"rope_type": kind} | parameters
        options = {"max_position_embeddings": 48} if kind == "dynamic" else {}
        name = "llama3" if kind == "llama3" else f"llama_{kind}"
        write(root / name, create_llama(tokenizer, rope, **options), tokenizer)
        plain = {"rope_type": "default", "rope_theta": parameters["rope_theta"]}
        check_scaling_acts(root / name, create_llama(tokenizer, plain))
    linear = ROPES["linear"]
    old = {"rope_theta": linear["rope_theta"], "rope_scaling": {"type": "linear", "factor": linear["factor"]}}
    model = create_llama(tokenizer, {"rope_type": "linear"} | linear)
    write(root / "llama_v4", model, tokenizer, rewrite=version_4(("rope_parameters",), old))
    assert_same_golden(root / "llama_v4", root / "llama_linear")


def assert_same_golden(first: Path, second: Path) -> None:
    """But for the last bits, which differ with where in memory a file's tensors come to lie."""
    a, b = (load_file(folder / "golden.safetensors") for folder in (first, second))
    assert a.keys() == b.keys()
    assert all(torch.allclose(a[name], b[name], atol=1e-5) for name in a), (first.name, second.name)


def write_llamas(root: Path) -> None:
    tokenizer = llama_tokenizer()
    plain = {"rope_type": "default", "rope_theta": 10000.0}
    write(root / "llama", create_llama(tokenizer, plain), tokenizer)
    write(root / "llama_sharded", create_llama(tokenizer, plain), tokenizer, max_shard_size="60KB")
    assert_same_golden(root / "llama_sharded", root / "llama")
    options = {"attention_bias": True, "mlp_bias": True, "tie_word_embeddings": False, "rms_norm_eps": 1e-2}
    biased = create(transformers.LlamaForCausalLM, tokenizer, "llama_bias", **(LLAMA_SIZES | options))
    write(root / "llama_bias", biased, tokenizer)

    rounded = create_llama(tokenizer, plain)
    with torch.no_grad():
        for parameter in rounded.parameters():
            parameter.copy_(parameter.bfloat16())
    folder = root / "llama_bfloat16"
    save(folder, copy.deepcopy(rounded).bfloat16(), tokenizer)
    save_golden(folder, model_golden(folder, rounded.base_model))
    write_scaled_llamas(root, tokenizer)


def write_mistral_and_qwen(root: Path) -> None:
    options: dict[str, Any] = {"num_key_value_heads": 2, "sliding_window": 8}
    tokenizer = mistral_tokenizer()
    mistral = create(transformers.MistralModel, tokenizer, "mistral", rms_norm_eps=1e-2, **options)
    write(root / "mistral", mistral, tokenizer)

    tokenizer = gpt_tokenizer()
    windows = {"use_sliding_window": True, "max_window_layers": 1, "tie_word_embeddings": True}
    write(root / "qwen2", create(transformers.Qwen2ForCausalLM, tokenizer, "qwen2", **options, **windows), tokenizer)

    tokenizer = qwen3_tokenizer()
    options = {"num_key_value_heads": 1, "head_dim": 12, "rms_norm_eps": 1e-2}
    write(root / "qwen3", create(transformers.Qwen3Model, tokenizer, "qwen3", **options), tokenizer)


# --- Gemma 3 ---------------------------------------------------------------------------------------


def gemma_options() -> dict[str, Any]:
    ropes = {"full_attention": 100000.0, "sliding_attention": 500.0}
    return {
        "num_key_value_heads": 1,
        "head_dim": 12,
        "intermediate_size": 40,
        "query_pre_attn_scalar": 20,
        "sliding_window": 8,
        "layer_types": ["sliding_attention", "full_attention", "sliding_attention"],
        "rope_parameters": {kind: {"rope_type": "default", "rope_theta": theta} for kind, theta in ropes.items()},
    }


def write_sentence_modules(folder: Path) -> list[nn.Linear]:
    """The modules after the transformer, as EmbeddingGemma has them: mean pooling, two Dense, Normalize."""
    paths = ["", "1_Pooling", "2_Dense", "3_Dense", "4_Normalize"]
    kinds = [path.split("_")[-1] or "Transformer" for path in paths]
    modules = [
        {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for i, (path, kind) in enumerate(zip(paths, kinds, strict=True))
    ]
    write_json(folder / "modules.json", modules)
    modes = ("cls_token", "mean_tokens", "max_tokens", "mean_sqrt_len_tokens", "weightedmean_tokens", "lasttoken")
    pooling: dict[str, Any] = {"word_embedding_dimension": HIDDEN}
    pooling |= {f"pooling_mode_{mode}": mode == "mean_tokens" for mode in modes}
    write_json(folder / "1_Pooling" / "config.json", pooling | {"include_prompt": True})
    layers = [nn.Linear(HIDDEN, INNER, bias=False), nn.Linear(INNER, 16, bias=False)]
    for path, layer in zip(paths[2:4], layers, strict=True):
        dense = nn.Module()
        dense.linear = layer
        randomise(dense, path)
        config = {"in_features": layer.in_features, "out_features": layer.out_features, "bias": False}
        config["activation_function"] = "torch.nn.modules.linear.Identity"
        write_json(folder / path / "config.json", config)
        save_file(dense.state_dict(), folder / path / "model.safetensors", metadata={"format": "pt"})
    write_json(folder / "sentence_bert_config.json", {"max_seq_length": LENGTH, "do_lower_case": False})
    prompts = {"query": "task: search result | query: ", "document": "title: none | text: "}
    versions = {"sentence_transformers": "5.1.0", "transformers": "4.57.0", "pytorch": "2.8.0"}
    config = {"__version__": versions, "prompts": prompts, "default_prompt_name": None, "similarity_fn_name": "cosine"}
    write_json(folder / "config_sentence_transformers.json", {"model_type": "SentenceTransformer"} | config)
    return layers


def write_embedding_gemma(folder: Path) -> None:
    tokenizer = gemma_tokenizer("<bos> $A <eos>")
    options = gemma_options() | {"use_bidirectional_attention": True}
    model = create(transformers.Gemma3TextModel, tokenizer, "embedding_gemma", **options)
    rope = {"rope_theta": 100000.0, "rope_local_base_freq": 500.0, "rope_scaling": None}
    save(folder, model, tokenizer, rewrite=version_4(("rope_parameters",), rope))
    layers = write_sentence_modules(folder)
    tensors = model_golden(folder, model)
    eager = {"attn_implementation": "eager"}
    sentence = sentence_golden(SentenceTransformer(str(folder), device="cpu", model_kwargs=eager))
    for i in range(len(TEXTS)):
        assert np.array_equal(sentence[f"ids.{i}"], tensors[f"ids.{i}"])
    with torch.no_grad():
        vectors = layers[1](layers[0](torch.from_numpy(tensors[f"pooled.raw.mean.{LAYERS}"]))).numpy()
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    assert np.abs(vectors - sentence["embeddings"]).max() < 1e-5
    save_golden(folder, tensors | sentence)


def write_gemmas(root: Path) -> None:
    tokenizer = gemma_tokenizer("<bos> $A")
    model = create(transformers.Gemma3ForCausalLM, tokenizer, "gemma3", rms_norm_eps=1e-2, **gemma_options())
    write(root / "gemma3", model, tokenizer)
    write_embedding_gemma(root / "embedding_gemma")


# --- ModernBERT and Mamba --------------------------------------------------------------------------


def write_modernberts(root: Path) -> None:
    tokenizer = modernbert_tokenizer()
    ids = {name: getattr(tokenizer, name) for name in ("cls_token_id", "sep_token_id")}
    ids |= {"bos_token_id": tokenizer.cls_token_id, "eos_token_id": tokenizer.sep_token_id}
    ropes = {"full_attention": 100000.0, "sliding_attention": 500.0}
    options = {
        "local_attention": 8,
        "global_attn_every_n_layers": 2,
        "rope_parameters": {kind: {"rope_type": "default", "rope_theta": theta} for kind, theta in ropes.items()},
    }
    plain = create(transformers.ModernBertModel, tokenizer, "modernbert", **ids, **options)
    write(root / "modernbert", plain, tokenizer)
    biases = {"norm_bias": True, "attention_bias": True, "mlp_bias": True, "norm_eps": 1e-2}
    biased = create(transformers.ModernBertForMaskedLM, tokenizer, "modernbert_bias", **ids, **options, **biases)
    old = {"global_rope_theta": 100000.0, "local_rope_theta": 500.0}
    write(root / "modernbert_bias", biased, tokenizer, rewrite=version_4(("rope_parameters", "layer_types"), old))


def write_mambas(root: Path) -> None:
    tokenizer = gpt_tokenizer()
    options = {"use_bias": True, "use_conv_bias": True, "state_size": 8, "time_step_rank": 3}
    mamba = create(transformers.MambaModel, tokenizer, "mamba", layer_norm_epsilon=1e-2, **options)
    write(root / "mamba", mamba, tokenizer)
    options = {"use_bias": False, "residual_in_fp32": False}
    write(root / "mamba_plain", create(transformers.MambaForCausalLM, tokenizer, "mamba_plain", **options), tokenizer)


# --- adapters --------------------------------------------------------------------------------------


def save_adapter(folder: Path, base: PreTrainedModel, config: peft.LoraConfig) -> None:
    """Save a random adapter to `base` as PEFT does, and make what it writes the same in every run."""
    base_name = Path(base.name_or_path).name
    model = peft.get_peft_model(base, config)
    adapter = nn.Module()
    for name, parameter in model.named_parameters():
        if "lora_" in name:
            adapter.register_parameter(name.replace(".", "/"), parameter)
    randomise(adapter, folder.name)
    shutil.rmtree(folder, ignore_errors=True)
    model.save_pretrained(folder)
    (folder / "README.md").unlink()
    saved = json.loads((folder / "adapter_config.json").read_text()) | {"base_model_name_or_path": base_name}
    saved["target_modules"] = sorted(saved["target_modules"])  # a set in memory
    (folder / "adapter_config.json").write_text(json.dumps(dict(sorted(saved.items())), indent=2) + "\n")


def load_causal(folder: Path) -> PreTrainedModel:
    options = {"dtype": torch.float32, "attn_implementation": "eager"}
    return transformers.AutoModelForCausalLM.from_pretrained(folder, **options).eval()


def add_adapter(causal: PreTrainedModel, folder: Path, ids: list[int]) -> None:
    """Merge the adapter into the model in place; merged, it does what it does beside the weights."""
    config = peft.LoraConfig.from_pretrained(folder)
    inner = causal if config.task_type == "CAUSAL_LM" else causal.base_model
    before = states_of(causal.base_model, ids)
    adapted = peft.PeftModel.from_pretrained(inner, folder).eval()
    beside = states_of(causal.base_model, ids)
    adapted.merge_and_unload()
    merged = states_of(causal.base_model, ids)
    assert largest_difference(beside, merged) < 1e-5, folder.name
    assert all(np.abs(a - b).max() > 1e-2 for a, b in zip(before[1:], merged[1:], strict=True)), folder.name


def write_adapter_golden(folder: Path, base: Path, adapters: list[Path]) -> None:
    """The pooled states of `base` with the adapters merged in, one after the other."""
    causal = load_causal(base)
    ids = load_file(base / "golden.safetensors")
    for adapter in adapters:
        add_adapter(causal, adapter, ids["ids.1"].tolist())
    golden = Golden()
    for i in range(sum(name.startswith("ids.") for name in ids)):
        golden.add_pooled("pooled.raw", states_of(causal.base_model, ids[f"ids.{i}"].tolist()))
    folder.mkdir(exist_ok=True)
    save_golden(folder, golden.finish())


def write_adapters(root: Path) -> None:
    llama, gpt2 = root / "llama", root / "gpt2"
    everything = [f"{name}_proj" for name in ("q", "k", "v", "o", "gate", "up", "down")]
    all_config = peft.LoraConfig(r=4, lora_alpha=8, target_modules=everything, task_type="CAUSAL_LM")
    one = "layers.1.self_attn.v_proj"
    rs_config = peft.LoraConfig(
        r=8,
        lora_alpha=4,
        use_rslora=True,
        target_modules=["q_proj", "v_proj"],
        rank_pattern={one: 2},
        alpha_pattern={one: 6},
        task_type="FEATURE_EXTRACTION",
    )
    gpt2_config = peft.LoraConfig(
        r=4, lora_alpha=8, target_modules=["c_attn", "c_fc"], fan_in_fan_out=True, task_type="CAUSAL_LM"
    )
    first, second, third = root / "llama_adapter_all", root / "llama_adapter_rs", root / "gpt2_adapter"
    save_adapter(first, load_causal(llama), all_config)
    save_adapter(second, load_causal(llama).base_model, rs_config)
    save_adapter(third, load_causal(gpt2), gpt2_config)
    write_adapter_golden(first, llama, [first])
    write_adapter_golden(second, llama, [second])
    write_adapter_golden(third, gpt2, [third])
    both = root / "llama_adapter_both"
    shutil.rmtree(both, ignore_errors=True)
    write_adapter_golden(both, llama, [first, second])


def write_families(root: Path) -> None:
    """Write every folder of this file anew under `root`; other folders there are left alone."""
    write_llamas(root)
    write_gpt(root)
    write_mistral_and_qwen(root)
    write_gemmas(root)
    write_modernberts(root)
    write_mambas(root)
    write_adapters(root)
