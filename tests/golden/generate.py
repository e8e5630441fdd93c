#!/usr/bin/env python3
"""Make the golden fixtures of midlayer: tiny random models and what they must answer.

Everything comes from fixed seeds and from the short corpus of common.py, so two runs with the packages of
requirements.txt on one kind of CPU write the same bytes. The references are Hugging Face transformers
(eager attention, float32, one text at a time, no padding) and sentence-transformers.

    python generate.py                  # tests/golden/texts.json and tests/golden/models/*
    python generate.py --families       # only tests/golden/models/* of families.py
    python generate.py --minilm DIR     # also tests/golden/minilm, from a copy of all-MiniLM-L6-v2

README.md tells what is in each file.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
import math
import shutil
import tempfile
from pathlib import Path
from typing import Any

# First of all: it sets what the Hugging Face libraries read from the environment.
from common import (  # isort: skip
    CORPUS,
    HEADS,
    HIDDEN,
    INTERMEDIATE,
    LAYERS,
    POOLINGS,
    POSITIONS,
    TEXTS,
    check_layers,
    encode_plain,
    hidden_states,
    load_reference,
    pool,
    randomise,
    sentence_golden,
    write_json,
)
import numpy as np
import sentencepiece
import torch
import transformers
from safetensors.numpy import save_file as save_numpy
from safetensors.torch import load_file, save_file
from sentence_transformers import SentenceTransformer
from sentencepiece import sentencepiece_model_pb2
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
from torch import nn
from transformers import AutoModel, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from families import write_families

MINILM_TEXTS = [
    "That is a happy person",
    "The quick brown fox jumps over the lazy dog.",
    "Café déjà vu: naïve façade, Ærøskøbing, señor, Übergrößenträger.",
    "임베딩은 문장의 의미를 숫자로 바꿉니다.",
    "Great release! 👩‍👩‍👧‍👦 🎉👍🏽 🇰🇷",
    "",
    "  Leading spaces,\ttabs\nand new lines, and trailing spaces  ",
    "Every layer of a transformer sees the same sentence in another way: the first layers keep what the words "
    "look like, the middle layers gather what belongs together, and the last layers bend towards the task the "
    "model was trained for. Whoever wants a vector that says something about grammar should therefore not take "
    "the last layer without a second thought. A probe trained on the middle of the network often reads part of "
    "speech, number and tense better than a probe trained on its end, while similarity between whole sentences "
    "is usually found near the end. The server described here gives the state of any layer, pooled in any of "
    "five ways, so that such questions can be asked in one request instead of one export per layer. It reads "
    "the weights once, keeps them on the device, groups requests of similar length, and stops computing as soon "
    "as the deepest layer that anybody in the group asked for has been reached, which is what makes early "
    "layers cheap.",
]

# Texts a tokenizer may trip over. A dict stands for a long text: unit, `repeat` times.
SHORT_TOKEN_TEXTS: list[str | dict[str, Any]] = [
    "",
    " ",
    "Hello, World!",
    "  two  spaces   inside and around  ",
    "tab\tnew line\ncarriage\r\nreturn",
    "Café déjà vu",
    "Cafe\u0301 de\u0301ja\u0300 vu",
    "임베딩은 문장의 의미를 숫자로 바꿉니다.",
    "東京タワー と 北京 漢字",
    "ﬁne Ｆｕｌｌ width\u00a0no-break\u3000ideographic ①",
    "👍🏽 👩‍👩‍👧‍👦 🇰🇷",
    "a\x00b nul",
    "zero\u200bwidth\ufeffmark\u00adsoft",
    "<s> </s> <pad> <unk> <mask> x<mask>y",
    "x" * 150,
    {"unit": "layer of model ", "repeat": 700},
]
TOKEN_TEXTS: list[str | dict[str, Any]] = SHORT_TOKEN_TEXTS + [
    "   \t\n  ",
    "\n",
    "[CLS] [SEP] [MASK]",
    "[CLS][SEP] x[MASK]y [PAD] [UNK] [cls] [mask]",
    "MiXeD CaSe ÀÉÎÕÜ ẞ İstanbul ΣΊΣΥΦΟΣ",
    "مرحبا بالعالم، كيف حالك؟",
    "مَرْحَبًا",
    "नमस्ते दुनिया",
    "ภาษาไทย",
    "Привет, мир! Ёлка",
    "すし が ガギグ ｶﾞｷﾞ",
    "\uac01 \u1100\u1161\u11a8 \u1100",
    "naïve coöperate Ångström \u212b K\u212a",
    "control \x01\x02\x07\x1b[0m\x7f \x85 \x9f end",
    "replacement \ufffd and private \ue000 and \ufffe",
    "bidi \u202eabc\u202c \u200eLRM\u200f \u2066iso\u2069",
    "joiner a\u200db a\u200cb \u2060word",
    "line\u2028separator\u2029paragraph",
    "1,234.56 $5 50% #tag @user_name http://example.com/a?b=c&d=e#f a@b.c",
    "don't can't it's rock'n'roll — “quotes” ‘single’ … ellipsis",
    "x² + y³ ≠ ½ ± ∞ ≤ √2 ℝ € £ ¥",
    "Z͑ͫ̓ͪ̂ͫ̽͏̴̙̤̞͉͚̯̞̠͍A̴̵̜̰͔ͫ͗͢L",
    "𝐁𝐨𝐥𝐝 𝒮𝒸𝓇𝒾𝓅𝓉 𠀀𠮷 🀄 ☃️ ❤️",
    "antidisestablishmentarianism pneumonoultramicroscopicsilicovolcanoconiosis",
    "w" * 100,
    "w" * 101,
    "ß" * 60 + "é" * 60,
    "a" * 1000,
    "##ing ## un##able",
    {"unit": "the quick brown fox ", "repeat": 500},
    {"unit": "Übermäßig ", "repeat": 2000},
]

# --- tokenizers ------------------------------------------------------------------------------------


def merged_pieces(
    size: int, before: pre_tokenizers.PreTokenizer, normalizer: normalizers.Normalizer | None = None
) -> tuple[list[str], list[str]]:
    """Merge the letters of the corpus, as for BPE, to `size` pieces; return these and the words.

    Neither WordPieceTrainer (not the same vocabulary in two runs) nor UnigramTrainer (hardly more than
    single letters from so short a corpus) can be used here.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = before
    lines = [line if normalizer is None else normalizer.normalize_str(line) for line in CORPUS]
    tokenizer.train_from_iterator(lines, trainers.BpeTrainer(vocab_size=size, show_progress=False))
    return sorted(tokenizer.get_vocab()), [word for line in lines for word, _ in before.pre_tokenize_str(line)]


def wordpiece_vocab(special: list[str], lowercase: bool) -> dict[str, int]:
    normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    pieces, words = merged_pieces(240, pre_tokenizers.BertPreTokenizer(), normalizer)
    first = [piece for piece in pieces if any(word.startswith(piece) for word in words)]
    later = ["##" + piece for piece in pieces if any(piece in word[1:] for word in words)]
    return {piece: i for i, piece in enumerate([*special, *first, *later])}


def bert_tokenizer(cls: type = transformers.BertTokenizer, lowercase: bool = True) -> PreTrainedTokenizerBase:
    vocab = wordpiece_vocab(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"], lowercase)
    return cls(vocab=vocab, do_lower_case=lowercase, model_max_length=POSITIONS)


def mpnet_tokenizer() -> PreTrainedTokenizerBase:
    vocab = wordpiece_vocab(["<s>", "<pad>", "</s>", "<unk>", "[UNK]", "<mask>"], lowercase=True)
    return transformers.MPNetTokenizer(vocab=vocab, model_max_length=POSITIONS - 2)


def roberta_tokenizer() -> PreTrainedTokenizerBase:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<s>", "<pad>", "</s>", "<unk>", "<mask>"],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    model = json.loads(tokenizer.to_str())["model"]
    return transformers.RobertaTokenizer(
        vocab=model["vocab"], merges=[tuple(merge) for merge in model["merges"]], model_max_length=POSITIONS - 2
    )


def unigram_pieces() -> list[tuple[str, float]]:
    """Pieces for Unigram; the score of one is the logarithm of how often it is in the corpus."""
    before = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always")]
    )
    pieces, words = merged_pieces(250, before)
    counts = {piece: " ".join(words).count(piece) for piece in pieces}
    scores = {piece: round(math.log(count / sum(counts.values())), 4) for piece, count in counts.items()}
    return sorted(scores.items(), key=lambda item: (-item[1], item[0]))


def small_charsmap() -> bytes:
    """A SentencePiece normalisation table like XLM-RoBERTa's own, but with a few rules only."""
    rules = {"\u00a0": " ", "\u3000": " ", "\t": " ", "\n": " ", "\r": " ", "\u200b": " ", "ﬁ": "fi", "①": "1"}
    rules |= {chr(code): chr(code - 0xFEE0) for code in range(0xFF01, 0xFF5F)}  # full-width forms
    rules |= {"e\u0301": "é", "a\u0300": "à"}

    def code_points(text: str) -> str:
        return " ".join(f"{ord(char):04X}" for char in text)

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        (path / "rules.tsv").write_text("".join(f"{code_points(a)}\t{code_points(b)}\n" for a, b in rules.items()))
        (path / "corpus.txt").write_text("\n".join(line for line in CORPUS if line), encoding="utf-8")
        sentencepiece.SentencePieceTrainer.train(
            input=str(path / "corpus.txt"),
            model_prefix=str(path / "m"),
            vocab_size=200,
            model_type="char",
            character_coverage=0.98,
            hard_vocab_limit=False,
            normalization_rule_tsv=str(path / "rules.tsv"),
            minloglevel=2,
        )
        proto = sentencepiece_model_pb2.ModelProto.FromString((path / "m.model").read_bytes())
    return proto.normalizer_spec.precompiled_charsmap


def xlm_roberta_tokenizer() -> PreTrainedTokenizerBase:
    vocab = [("<s>", 0.0), ("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), *unigram_pieces(), ("<mask>", 0.0)]
    return transformers.XLMRobertaTokenizer(
        vocab=vocab, model_max_length=POSITIONS - 2, _spm_precompiled_charsmap=small_charsmap()
    )


def camembert_tokenizer() -> PreTrainedTokenizerBase:
    """The ids of CamemBERT's first pieces are odd: <s> is 5 and </s> is 6."""
    head = ["<s>NOTUSED", "<pad>", "</s>NOTUSED", "<unk>", "<unk>NOTUSED", "<s>", "</s>"]
    vocab = [(piece, 0.0) for piece in head] + [*unigram_pieces(), ("<mask>", 0.0)]
    return transformers.CamembertTokenizer(vocab=vocab, model_max_length=POSITIONS - 2)


# --- models ----------------------------------------------------------------------------------------


def build(cls: type, tokenizer: PreTrainedTokenizerBase, seed: str, **options: Any) -> PreTrainedModel:
    sizes = {
        "hidden_size": HIDDEN,
        "num_attention_heads": HEADS,
        "num_hidden_layers": LAYERS,
        ("hidden_dim" if "DistilBert" in cls.__name__ else "intermediate_size"): INTERMEDIATE,
    }
    config = cls.config_class(
        vocab_size=len(tokenizer),
        max_position_embeddings=POSITIONS,
        pad_token_id=tokenizer.pad_token_id,
        **sizes,
        **options,
    )
    model = cls(config).eval()
    randomise(model, seed)
    return model


def as_version_4_pretraining(folder: Path) -> None:
    """Rewrite a saved BertForPreTraining as transformers 4.8 left it."""
    config = json.loads((folder / "config.json").read_text())
    del config["dtype"]
    config |= {"torch_dtype": "float32", "position_embedding_type": "absolute", "transformers_version": "4.8.2"}
    config |= {"gradient_checkpointing": False}
    (folder / "config.json").write_text(json.dumps(dict(sorted(config.items())), indent=2) + "\n")
    weights = load_file(folder / "model.safetensors")
    weights["bert.embeddings.position_ids"] = torch.arange(POSITIONS).unsqueeze(0)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def write_models(root: Path) -> dict[str, PreTrainedModel]:
    """Save the model folders; return each encoder as it was in memory, in float32."""
    encoders: dict[str, PreTrainedModel] = {}

    def save(name: str, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, **options: Any) -> Path:
        folder = root / name
        model.save_pretrained(folder, **options)
        tokenizer.save_pretrained(folder)
        encoders[name] = model.base_model.float()
        return folder

    bert = bert_tokenizer()
    save("bert", build(transformers.BertModel, bert, "bert"), bert)
    save("bert_sharded", build(transformers.BertModel, bert, "bert"), bert, max_shard_size="60KB")
    save("bert_float16", build(transformers.BertModel, bert, "bert").half(), bert)
    save("bert_bfloat16", build(transformers.BertModel, bert, "bert").bfloat16(), bert)
    pretraining = build(
        transformers.BertForPreTraining,
        bert,
        "bert_pretraining",
        hidden_act="gelu_new",
        type_vocab_size=2,
        layer_norm_eps=1e-2,
    )
    as_version_4_pretraining(save("bert_pretraining", pretraining, bert))

    tokenizer = bert_tokenizer(transformers.DistilBertTokenizer)
    save("distilbert", build(transformers.DistilBertForMaskedLM, tokenizer, "distilbert"), tokenizer)

    # A large layer_norm_eps in some of them shows whether config.json is obeyed.
    tokenizer = roberta_tokenizer()
    options = {"type_vocab_size": 1, "layer_norm_eps": 1e-5}
    save("roberta", build(transformers.RobertaForMaskedLM, tokenizer, "roberta", **options), tokenizer)
    prelayernorm = build(
        transformers.RobertaPreLayerNormForMaskedLM,
        tokenizer,
        "roberta_prelayernorm",
        type_vocab_size=1,
        layer_norm_eps=1e-2,
    )
    save("roberta_prelayernorm", prelayernorm, tokenizer)

    tokenizer = xlm_roberta_tokenizer()
    save("xlm_roberta", build(transformers.XLMRobertaModel, tokenizer, "xlm_roberta", **options), tokenizer)

    tokenizer = camembert_tokenizer()
    options = {"type_vocab_size": 1, "layer_norm_eps": 1e-2, "bos_token_id": 5, "eos_token_id": 6}
    save("camembert", build(transformers.CamembertModel, tokenizer, "camembert", **options), tokenizer)

    tokenizer = mpnet_tokenizer()
    save("mpnet", build(transformers.MPNetModel, tokenizer, "mpnet", layer_norm_eps=1e-2), tokenizer)
    return encoders


# --- references ------------------------------------------------------------------------------------


def write_model_golden(folder: Path, memory: PreTrainedModel) -> None:
    model, tokenizer = load_reference(folder)
    final_norm = model.LayerNorm if model.config.model_type == "roberta-prelayernorm" else None
    kinds = ["raw"] if final_norm is None else ["raw", "normed"]
    tensors: dict[str, np.ndarray] = {}
    pooled: dict[str, list[np.ndarray]] = {}
    for i, text in enumerate(TEXTS):
        ids = encode_plain(tokenizer, folder, text)
        assert 2 <= len(ids) <= POSITIONS - 2, (folder.name, i, len(ids))
        tensors[f"ids.{i}"] = np.array(ids, dtype=np.int64)
        states = {"raw": hidden_states(model, ids)}
        for again, state in zip(hidden_states(memory, ids), states["raw"], strict=True):
            assert np.abs(again - state).max() < 1e-5, folder.name
        if final_norm is not None:
            with torch.no_grad():
                inner = [final_norm(torch.from_numpy(state)).numpy() for state in states["raw"][:-1]]
            states["normed"] = [*inner, states["raw"][-1]]
        for kind in kinds:
            check_layers(folder.name, tensors, states[kind])
            for layer, state in enumerate(states[kind]):
                tensors[f"{kind}.{layer}.{i}"] = state
                for pooling in POOLINGS:
                    pooled.setdefault(f"pooled.{kind}.{pooling}.{layer}", []).append(pool(state, pooling))
    tensors |= {name: np.stack(rows).astype(np.float32) for name, rows in pooled.items()}
    save_numpy(tensors, folder / "golden.safetensors")


def write_token_ids(path: Path, model_folder: Path, texts: list[str | dict[str, Any]]) -> None:
    tokenizer = AutoTokenizer.from_pretrained(model_folder)
    cases: list[dict[str, Any]] = []
    for text in texts:
        if isinstance(text, str):
            cases.append({"text": text, "ids": encode_plain(tokenizer, model_folder, text)})
        else:
            ids = encode_plain(tokenizer, model_folder, text["unit"] * text["repeat"])
            digest = hashlib.sha256(np.array(ids, dtype="<i4").tobytes()).hexdigest()
            cases.append({**text, "length": len(ids), "sha256": digest})
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = ",\n".join(" " + json.dumps(case) for case in cases)
    path.write_text(f"[\n{lines}\n]\n", encoding="ascii")


# --- sentence-transformers -------------------------------------------------------------------------


def write_sentence(root: Path) -> None:
    """A directory in the layout of sentence-transformers 2 to 4, and as the pinned release saves it."""
    folder = root / "sentence"
    cased = bert_tokenizer(lowercase=False)  # so that what do_lower_case does shows in the ids
    # Of the generic class, tokenizer.json is taken as it is. A BertTokenizer would be built anew from
    # tokenizer_config.json, and would lose the Lowercase that saving sentence_v6 puts into tokenizer.json.
    names = ("pad_token", "unk_token", "cls_token", "sep_token", "mask_token")
    special = {name: getattr(cased, name) for name in names}
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=cased.backend_tokenizer, model_max_length=POSITIONS, **special
    )
    build(transformers.BertModel, tokenizer, "sentence").save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    modules = [("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Dense", "Dense"), ("3_Normalize", "Normalize")]
    prefix = "sentence_transformers.models."
    write_json(
        folder / "modules.json",
        [{"idx": i, "name": str(i), "path": path, "type": prefix + kind} for i, (path, kind) in enumerate(modules)],
    )
    write_json(
        folder / "config_sentence_transformers.json",
        {
            "__version__": {"sentence_transformers": "3.0.1", "transformers": "4.41.2", "pytorch": "2.3.0"},
            "prompts": {"query": "query: ", "passage": "passage: "},
            "default_prompt_name": None,
            "similarity_fn_name": "cosine",
        },
    )
    write_json(folder / "sentence_bert_config.json", {"max_seq_length": 24, "do_lower_case": True})
    modes = ("cls_token", "mean_tokens", "max_tokens", "mean_sqrt_len_tokens", "weightedmean_tokens", "lasttoken")
    pooling: dict[str, Any] = {"word_embedding_dimension": HIDDEN}
    pooling |= {f"pooling_mode_{mode}": mode == "weightedmean_tokens" for mode in modes}
    write_json(folder / "1_Pooling" / "config.json", pooling | {"include_prompt": False})
    dense = nn.Module()
    dense.linear = nn.Linear(HIDDEN, 16)
    randomise(dense, "dense")
    activation = "torch.nn.modules.activation.Tanh"
    write_json(
        folder / "2_Dense" / "config.json",
        {"in_features": HIDDEN, "out_features": 16, "bias": True, "activation_function": activation},
    )
    save_file(dense.state_dict(), folder / "2_Dense" / "model.safetensors", metadata={"format": "pt"})

    eager = {"attn_implementation": "eager"}
    model = SentenceTransformer(str(folder), device="cpu", model_kwargs=eager)
    newer = root / "sentence_v6"
    model.save(str(newer), create_model_card=False)
    tensors = sentence_golden(model)
    prompt_length = model[0]._get_prompt_length("query: ")
    assert prompt_length == 1 + len(tokenizer.tokenize("query: ")), "[CLS] and the pieces of the prompt"
    check_sentence(folder, tensors, dense.linear, prompt_length)
    assert (tensors["embeddings"] != tensors["embeddings.query"]).all()
    reloaded = sentence_golden(SentenceTransformer(str(newer), device="cpu", model_kwargs=eager))
    for name, value in tensors.items():
        assert np.allclose(value, reloaded[name], atol=1e-6), name
    save_numpy(tensors, folder / "golden.safetensors")
    save_numpy(tensors, newer / "golden.safetensors")


def check_sentence(folder: Path, tensors: dict[str, np.ndarray], linear: nn.Linear, prompt_length: int) -> None:
    """Compute the embeddings once more from the hidden states: this is the rule midlayer has to follow."""
    bert = AutoModel.from_pretrained(folder, attn_implementation="eager").eval()
    weight, bias = (p.detach().double().numpy() for p in (linear.weight, linear.bias))
    for kind, ids_name, skip in (("embeddings", "ids", 0), ("embeddings.query", "ids.query", prompt_length)):
        for i in range(len(TEXTS)):
            states = hidden_states(bert, tensors[f"{ids_name}.{i}"].tolist())[-1].astype(np.float64)
            weights = np.arange(1.0, len(states) + 1)  # the tokens left keep their own position's weight
            weights[:skip] = 0.0
            vector = np.tanh(weight @ (weights @ states / weights.sum()) + bias)
            vector /= np.linalg.norm(vector)
            assert np.abs(vector - tensors[kind][i]).max() < 1e-5, (kind, i)


# --- all-MiniLM-L6-v2 ------------------------------------------------------------------------------


def write_minilm(out: Path, folder: Path) -> None:
    write_json(out / "texts.json", MINILM_TEXTS)
    write_token_ids(out / "token_ids.json", folder, TOKEN_TEXTS)
    sentence = SentenceTransformer(str(folder), device="cpu", model_kwargs={"attn_implementation": "eager"})
    assert sentence.max_seq_length == 256
    model, tokenizer = load_reference(folder)
    tensors = {"embeddings": sentence.encode(MINILM_TEXTS, batch_size=1, normalize_embeddings=True)}
    pooled: dict[str, list[np.ndarray]] = {}
    for i, text in enumerate(MINILM_TEXTS):
        ids = encode_plain(tokenizer, folder, text)
        # tokenizer.json cuts and pads at 128 unless told otherwise: this must not show.
        assert sentence.preprocess([text])["input_ids"][0].tolist() == ids
        tensors[f"ids.{i}"] = np.array(ids, dtype=np.int64)
        states = hidden_states(model, ids)
        check_layers("minilm", tensors, states)
        for layer, state in enumerate(states):
            for pooling in POOLINGS:
                pooled.setdefault(f"pooled.raw.{pooling}.{layer}", []).append(pool(state, pooling))
    assert 128 < len(tensors[f"ids.{len(MINILM_TEXTS) - 1}"]) < 256
    tensors |= {name: np.stack(rows).astype(np.float32) for name, rows in pooled.items()}
    mean = tensors["pooled.raw.mean.6"]
    assert np.abs(mean / np.linalg.norm(mean, axis=1, keepdims=True) - tensors["embeddings"]).max() < 1e-5
    save_numpy(tensors, out / "golden.safetensors")


def write_encoders(out: Path) -> None:
    """The texts, BERT and its kin, and the sentence-transformers directories."""
    root = out / "models"
    write_json(out / "texts.json", TEXTS)
    for name, encoder in write_models(root).items():
        write_model_golden(root / name, encoder)
    for name in ("roberta", "xlm_roberta"):
        write_token_ids(root / name / "token_ids.json", root / name, SHORT_TOKEN_TEXTS)
    write_sentence(root)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path(__file__).resolve().parent, help="default: this folder")
    parser.add_argument("--families", action="store_true", help="write only the folders of families.py")
    parser.add_argument("--minilm", type=Path, help="a directory holding all-MiniLM-L6-v2")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    torch.manual_seed(0)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    logging.getLogger("sentence_transformers").setLevel(logging.ERROR)

    out: Path = arguments.out
    if not arguments.families:
        shutil.rmtree(out / "models", ignore_errors=True)
        write_encoders(out)
    write_families(out / "models")
    if arguments.minilm is not None:
        write_minilm(out / "minilm", arguments.minilm)
    for path in out.rglob("*.safetensors"):
        path.chmod(0o644)  # the library lets only the owner read some of them


if __name__ == "__main__":
    main()
