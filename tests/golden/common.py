"""What the scripts of this folder share: texts, random weights, references by transformers."""

from __future__ import annotations

import os

# Nothing may be fetched, and nothing may depend on how threads are scheduled.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["RAYON_NUM_THREADS"] = "1"

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sentence_transformers import SentenceTransformer
from tokenizers import Tokenizer
from torch import nn
from transformers import AutoModel, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

HIDDEN, HEADS, LAYERS, INTERMEDIATE = 32, 4, 3, 64
POSITIONS = 66  # RoBERTa-likes spend two of these on the padding offset
POOLINGS = ("cls", "mean", "last", "max", "weighted_mean")

TEXTS = [
    "Layers of a small model.",
    "The server reads the weights of the model once, runs every layer on the device, and gives back the "
    "vector of the middle layer that the client asked for.",
    "Café déjà vu, naïve façade in São Paulo.",
    "임베딩은 문장의 의미를 숫자로 바꿉니다.",
    "Nice work 👍 🎉 ok!",
    "",
]

# What the tiny tokenizers learn from. The texts belong to it, so that few of their pieces are unknown.
CORPUS = TEXTS * 4 + [
    "the layer of the model gives a vector for every token of the text",
    "a small server reads the weights and runs the layers of the model",
    "the client asked for the middle layer, the server gives the last layer",
    "query: which layer gives the vector? passage: the middle layer of the model.",
    "pooling takes the mean, the max, the first or the last token of the text",
    "The Quick Brown Fox Jumps Over The Lazy Dog 0123456789",
    "le café déjà vu, la façade naïve, São Paulo, señor, Übung",
    "문장의 의미를 숫자로 바꿉니다. 모델은 문장을 읽고 임베딩은 의미를 담습니다.",
    "東京 の テスト 👍 🎉 ! ? - _ ( ) ' \" ; % & * + / = < > @ # $",
]


def is_norm(module: nn.Module) -> bool:
    return isinstance(module, nn.LayerNorm) or type(module).__name__.endswith("RMSNorm")


def mamba_value(name: str, noise: np.ndarray) -> np.ndarray:
    """Values near those Mamba starts from, so that its states neither explode nor fade within a few tokens."""
    if name.endswith("A_log"):
        return np.log(np.arange(1.0, noise.shape[1] + 1)) + 0.3 * noise
    if name.endswith(".D"):
        return 1.0 + 0.3 * noise
    if name.endswith("dt_proj.bias"):
        return -2.0 + 0.5 * noise  # steps of about softplus(-2) = 0.13
    if name.endswith(("dt_proj.weight", "conv1d.weight")):
        return 0.4 * noise
    return (0.15 if noise.ndim > 1 else 0.2) * noise


def randomise(model: nn.Module, seed: str) -> None:
    """Give every parameter a random value far from its neutral start, by the seed and its name alone."""
    norms = {id(p) for m in model.modules() if is_norm(m) for p in m.parameters()}
    added = {id(p) for m in model.modules() if type(m).__name__ == "Gemma3RMSNorm" for p in m.parameters()}
    embeddings = {id(m.weight) for m in model.modules() if isinstance(m, nn.Embedding)}
    for name, parameter in model.named_parameters():
        digest = hashlib.sha256(f"{seed}/{name}".encode()).digest()
        noise = np.random.default_rng(int.from_bytes(digest[:8], "little")).standard_normal(parameter.shape)
        if id(parameter) in embeddings:
            value = 0.5 * noise
        elif ".mixer." in name:
            value = mamba_value(name, noise)
        elif id(parameter) in added:
            value = 0.3 * noise  # Gemma adds one to it
        elif parameter.dim() > 1:
            value = 0.15 * noise
        elif id(parameter) in norms and name.endswith("weight"):
            value = 1.0 + 0.3 * noise
        else:
            value = 0.2 * noise
        with torch.no_grad():
            parameter.copy_(torch.from_numpy(value).to(parameter.dtype))


def write_json(path: Path, value: Any) -> None:
    """JSON in ASCII, so that no editor or terminal changes the odd characters of the texts."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=1) + "\n", encoding="ascii")


def pool(states: np.ndarray, pooling: str) -> np.ndarray:
    """Pool the (tokens, width) states of one text in float64; every token counts."""
    states = states.astype(np.float64)
    if pooling == "cls":
        return states[0]
    if pooling == "last":
        return states[-1]
    if pooling == "max":
        return states.max(axis=0)
    weights = np.ones(len(states)) if pooling == "mean" else np.arange(1.0, len(states) + 1)
    return (weights[:, None] * states).sum(axis=0) / weights.sum()


def hidden_states(model: PreTrainedModel, ids: list[int]) -> list[np.ndarray]:
    """The states 0..L of one text; the last one must be what the model gives back as its output."""
    with torch.no_grad():
        output = model(torch.tensor([ids]), output_hidden_states=True)
    states = [state[0].numpy().copy() for state in output.hidden_states]
    assert len(states) == model.config.num_hidden_layers + 1
    assert np.array_equal(states[-1], output.last_hidden_state[0].numpy())
    return states


def load_reference(folder: Path, dtype: torch.dtype = torch.float32) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    model, info = AutoModel.from_pretrained(folder, dtype=dtype, attn_implementation="eager", output_loading_info=True)
    # A head's folder holds no pooler; nothing else may be made up by the library.
    assert all(".pooler." in f".{key}" for key in info["missing_keys"]), info["missing_keys"]
    return model.eval(), AutoTokenizer.from_pretrained(folder)


def encode_plain(tokenizer: PreTrainedTokenizerBase, folder: Path, text: str) -> list[int]:
    """The ids without truncation or padding; tokenizer.json alone must give the same ones."""
    ids = tokenizer(text, truncation=False, padding=False, verbose=False)["input_ids"]
    raw = Tokenizer.from_file(str(folder / "tokenizer.json"))
    raw.no_truncation()
    raw.no_padding()
    assert raw.encode(text).ids == ids, (folder.name, text[:40], raw.encode(text).ids[:40], ids[:40])
    return ids


def check_layers(name: str, tensors: dict[str, np.ndarray], states: list[np.ndarray]) -> None:
    for tensor in tensors.values():
        assert np.isfinite(tensor).all(), name
    for a, first in enumerate(states):
        for second in states[a + 1 :]:
            assert np.abs(first - second).max() > 1e-2, name


def sentence_golden(model: SentenceTransformer, prompt_name: str = "query") -> dict[str, np.ndarray]:
    """What sentence-transformers answers for TEXTS, plain and with a prompt, and the ids it used."""
    prompt = model.prompts[prompt_name]
    tensors = {
        "embeddings": model.encode(TEXTS, batch_size=1),
        f"embeddings.{prompt_name}": model.encode(TEXTS, batch_size=1, prompt_name=prompt_name),
    }
    assert np.allclose(tensors["embeddings"], model.encode(TEXTS), atol=1e-5), "padding must not matter"
    for i, text in enumerate(TEXTS):
        tensors[f"ids.{i}"] = model.preprocess([text])["input_ids"][0].numpy()
        tensors[f"ids.{prompt_name}.{i}"] = model.preprocess([text], prompt=prompt)["input_ids"][0].numpy()
    return tensors
