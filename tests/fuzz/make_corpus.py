#!/usr/bin/env python3
"""Writes the seeds of corpus/ anew, from the golden models and from what stands here. Inputs that a run has found and that
were added by hand (README.md) stay; protoc is needed."""

import json
import pathlib
import struct
import subprocess

HERE = pathlib.Path(__file__).parent
ROOT = HERE.parent.parent
GOLDEN = ROOT / "tests/golden"
CORPUS = HERE / "corpus"

# In the order of model_config.cc.
MODEL_FILES = (
    "config.json",
    "tokenizer_config.json",
    "modules.json",
    "1_Pooling/config.json",
    "2_Dense/config.json",
    "sentence_bert_config.json",
    "config_sentence_transformers.json",
)
# Each parses something that the others do not.
MODELS = (
    "bert camembert distilbert embedding_gemma gemma3 gpt2 gpt2_scaled gpt_neox gptj llama llama3 llama_dynamic llama_v4 "
    "llama_yarn mamba mistral modernbert mpnet qwen2 qwen3 roberta_prelayernorm sentence sentence_v6 xlm_roberta"
)
ADAPTERS = "bert gpt2 llama"
SOURCES = "".join(path.read_text() for path in (ROOT / "server/models").glob("*.*"))


def write(target: str, name: str, content: bytes | str) -> None:
    path = CORPUS / target / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)


def compact(path: pathlib.Path) -> str:
    """The file without blanks, and without keys that no source names."""
    if not path.exists():
        return ""
    content = json.loads(path.read_text())
    if isinstance(content, dict):
        content = {key: value for key, value in content.items() if f'"{key}"' in SOURCES}
    return json.dumps(content, separators=(",", ":"))


def encode(message: str, text: str) -> bytes:
    command = ["protoc", "--proto_path=proto", f"--encode=midlayer.v1.{message}", "proto/midlayer/v1/scoring.proto"]
    command.append("proto/midlayer/v1/embedding.proto")
    return subprocess.run(command, input=text.encode(), stdout=subprocess.PIPE, check=True, cwd=ROOT).stdout


def delimited(*messages: bytes) -> bytes:
    for message in messages:
        assert len(message) < 128  # the length is one byte
    return b"".join(bytes([len(message)]) + message for message in messages)


def model_files() -> None:
    for model in MODELS.split():
        contents = [compact(GOLDEN / "models" / model / file) for file in MODEL_FILES]
        write("model_config", model, "\x1e".join(contents).rstrip("\x1e"))
    bert = compact(GOLDEN / "models/bert/config.json")
    write("model_config", "epsilon_below_0", bert.replace("1e-12", "-1"))
    write("model_config", "pooling_is_a_folder", bert + '\x1e\x1e[{"type":"a.Pooling","path":"\\u0000"}]')
    neox = compact(GOLDEN / "models/gpt_neox/config.json")
    write("model_config", "turned_above_int", neox.replace("0.25", "1e300"))
    yarn = compact(GOLDEN / "models/llama_yarn/config.json")
    write("model_config", "beta_0", yarn.replace('"beta_slow":0.05', '"beta_slow":0'))
    for adapter in ADAPTERS.split():
        config = json.loads((GOLDEN / "adapters" / adapter / "adapter_config.json").read_text())
        config["r"] = 2
        write("adapter_config", adapter, json.dumps(config, separators=(",", ":")))
    patterns = {
        "peft_type": "LORA", "r": 3, "lora_alpha": 4, "use_rslora": True, "init_lora_weights": "gaussian",
        "rank_pattern": {r"layer\.[01]\.attention\.self\.(query|value)": 2},
        "alpha_pattern": {"^encoder.*query": 8, "value": 0.5},
    }  # fmt: skip
    write("adapter_config", "patterns", json.dumps(patterns))


def safetensors() -> None:
    tensors = {
        "a": {"dtype": "F32", "shape": [2, 4], "data_offsets": [0, 32]},
        "b": {"dtype": "BF16", "shape": [16], "data_offsets": [32, 64]},
        "__metadata__": {"format": "pt"},
    }
    header = json.dumps(tensors, separators=(",", ":")).encode()
    write("safetensors", "header", b"\x01" + header)
    write("safetensors", "file", b"\x00" + struct.pack("<Q", len(header)) + header + bytes(64))
    types = [("F64", 8), ("I64", 8), ("I32", 4), ("F16", 2), ("U8", 1), ("I8", 1), ("BOOL", 1), ("F8_E4M3", 1)]
    many, end = {}, 0
    for name, size in types:
        many[name] = {"dtype": name, "shape": [], "data_offsets": [end, end + size]}
        end += size
    many["empty"] = {"dtype": "F32", "shape": [3, 0], "data_offsets": [end, end]}
    many["rest"] = {"dtype": "U8", "shape": [64 - end], "data_offsets": [end, 64]}
    write("safetensors", "types", b"\x01" + json.dumps(many, separators=(",", ":")).encode())
    weight_map = {tensor: shard + ".safetensors" for tensor, shard in zip("xyz", "abb")}
    index = {"metadata": {"total_size": 3}, "weight_map": weight_map}
    write("weight_index", "index", json.dumps(index))
    write("weight_index", "elsewhere", '{"weight_map":{"x":"../a.safetensors","y":"b.safetensors","z":"a.safetensors"}}')


# First byte: the call (bit 0), the selection (bits 1, 2), the model (from bit 3).
REQUESTS = {
    "short": (0, 'texts: "a" layer: 3 pooling: POOLING_MEAN'),
    "selection": (2, 'texts: "a" texts: "é" normalize: false dimensions: 4 priority: PRIORITY_BULK'),
    "refused": (4, 'texts: "a" truncate: TRUNCATE_LEFT'),
    "prompts": (16, 'texts: "a" prompt_name: "passage" format: VECTOR_FORMAT_INT8 layer: -1'),
    "prompt": (16, 'texts: "a" prompt: "p: " format: VECTOR_FORMAT_BINARY outputs { dense: true dimensions: 3 }'),
    "trained": (48, 'texts: "a" outputs { pooling: POOLING_TRAINED_MULTI } outputs { layers: 2 state: STATE_NORMED }'),
    "trained_default": (96, 'texts: "a" expected_model_fingerprint: "f6"'),
    "fused": (8, 'texts: "a" outputs { layers: 1 layers: -3 fusion: FUSION_WEIGHTED_SUM weights: 0.5 weights: -2 }'),
    "expected": (2, 'texts: "a" expected_selection_id: "s" format: VECTOR_FORMAT_FLOAT16'),
    "mean": (0, 'texts: "a" outputs { layers: [0, 6] fusion: FUSION_MEAN } format: VECTOR_FORMAT_BFLOAT16'),
}


def requests() -> None:
    for name, (choice, text) in REQUESTS.items():
        request = encode("EmbedRequest", text)
        write("embed_request", name, bytes([choice]) + request)
    write("embed_request", "stream", b"\x01" + encode("EmbedStreamRequest", 'request { texts: "a" layer: 1 }'))
    bad = encode("EmbedRequest", 'texts: "a" prompt: "b"').replace(b"b", b"\xff")
    write("embed_request", "not_utf8", b"\x00" + bad)
    write("embed_request", "stream_not_utf8", b"\x01\x0a" + bytes([len(bad)]) + bad)
    answer = 'outputs { layers: 3 dimensions: %d } selection_id: "s" embeddings { tokens: 3 vectors { %s } }'
    for name, number, data in (
        ("FLOAT32", 2, "values: 1 values: -0.5"),
        ("FLOAT16", 2, r'data: "\x00\x3c\x00\xb8"'),
        ("BFLOAT16", 1, r'data: "\x80\x3f"'),
        ("INT8", 2, r'data: "\x7f\x81" scale: 0.5'),
        ("BINARY", 9, r'data: "\xa0\x80"'),
    ):
        write("answers", name.lower(), encode("EmbedResponse", answer % (number, data) + f" format: VECTOR_FORMAT_{name}"))
    write("answers", "too_few", encode("EmbedResponse", answer % (2**32 - 1, "values: 1")))


OPTIONS = 'options { metrics: "all" criterion: "%s" seed: 7 sample_size: 3 views: 2 }'
DATASETS = {
    "texts": ("valley", ['text: "one two three four"', 'text: "five six. Seven eight nine."']),
    "labelled": ("linear_probe:max", [f'text: "{i}" label: "{i % 2}"' for i in range(4)]),
    "scored": ("auto", [f'text: "{i}" paired_text: "p{i}" score: {i}' for i in range(3)]),
    "pairs": ("", [f'text: "{i}" paired_text: "p{i}"' for i in range(3)]),
    "retrieval": ("", ['text: "q" relevant_ids: "d"', 'text: "p" id: "d" passage: true', 'text: "r" passage: true']),
    "korean": ("curvature=2,prompt_entropy:max", ['text: "한국어 문장 하나 둘 셋"', 'text: "漢字かな交じり文。次の文。"']),
}


def scoring() -> None:
    for name, (criterion, examples) in DATASETS.items():
        parts = [OPTIONS % criterion] + [f"example {{ {example} }}" for example in examples]
        messages = [encode("ScoreLayersRequest", part) for part in parts]
        write("score_layers", name, b"\x02" + delimited(*messages))
    lines = {
        "labelled": '{"text":"a","label":1}\n{"text":"b","class":2.0}\n\n{"sentence":"c","label":"1"}\n',
        "scored": '{"text":"a","sentence2":"b","score":1e-3}\n{"text_a":"c","text_b":"d","similarity":4}\n',
        "retrieval": '{"query":"q","relevant":["d",2]}\n'
        '{"text":"p","_id":"d","passage":true}\n{"text":"p2","id":2,"passage":true}\n',
    }
    for name, content in lines.items():
        write("dataset", name, "\x00" + content)
    write("dataset", "csv", '\x01text,label,score\r\n"a ""b"", c",x,\r\n\r\nd,y,\n')
    write("dataset", "csv_retrieval", "\x01\ufefftext,relevant,id,passage\nq,d;e,,\np,,d,1\nr,,e,true")
    write("dataset", "csv_fields", '\x05t,l,p,s\na,b,"c\nd",0.5\n')
    write("dataset", "csv_half_a_mark", b"\x01\xef,text\na,b\n")
    write("dataset", "number_too_large", '\x00{"text":"a","score":1e999}\n')
    write("dataset", "plain", "\x02one\n\ntwo \r\nthree")
    write("dataset", "guessed", '\x03{"text":"a"}\n{"text":"b"}\n')
    labelled = '{"text":"a","label":"1"}\n{"text":"b","label":"2"}\n\n{"text":"c","label":"1","other":[{}]}\n'
    write("named_dataset", "labelled", labelled)
    write("named_dataset", "scored", '{"text":"a","pairedText":"b","score":0.5}\n{"text":"c","paired_text":"d","score":"1"}\n')
    write("named_dataset", "retrieval", '{"text":"q","relevantIds":["d"]}\n{"text":"p","id":"d","passage":true}\n')
    write("texts", "lines", "\x00one\n\n \t\ntwo\r\n\u00e9")
    write("texts", "json_lines", '\x01\ufeff{"text":"one","id":1}\n{"text":"t\\u00e9\\ud83d\\ude00\\n"}\r\n{"text":2}\n[]\n{')


def words() -> None:
    record = {
        "id": "0" * 64, "layer": 3, "pooling": "mean", "state": "raw", "criterion": "prompt_entropy:min",
        "metric": "prompt_entropy", "value": 0.125, "dataset_digest": "d", "options_digest": "o", "model_fingerprint": "f",
        "cache_key": "k", "evidence": "spectral", "confidence": "", "created_unix_seconds": 1700000000,
        "reason": "lowest – by far",
    }  # fmt: skip
    write("selection_record", "spectral", json.dumps(record))
    record |= {"evidence": "task", "confidence": "high", "value": -1e300, "new": {"key": [None]}}
    write("selection_record", "task", json.dumps(record, ensure_ascii=False))
    tokens = "# who may\nalice 0123456789abcdef admin\r\n\n bob\tABCDEF-._~+/=0123 \nalice 0123456789abcdeF\n"
    write("token_file", "two", tokens)
    for name, url in (
        ("plain", "redis://localhost"),
        ("login", "redis://user:p%40ss@host:6380/2"),
        ("tls", "rediss://:secret@[::1]:6379/0?ca=/ca.pem&cert=/c.pem&key=/k.pem&sni=redis.example"),
        ("file", "redis://user@10.0.0.1/?password_file=/run/p"),
    ):
        write("redis_url", name, url)
    texts = {
        "mixed": "Hello, World! naïve e\u0301 \u200d👩\u200d👩\u200d👧 🇰🇷 3.14 (ok)",
        "korean": "안녕하세요 값 학교에서 ㅋㅋㅋ 걸었다. 다시 걸었다.",
        "unspaced": "漢字かな交じり文。次の文も同じ。ภาษาไทย",
        "spaces": " \t two  spaces\n\u00a0and\u3000wide <s> [CLS] </s>",
    }
    for number, (name, text) in enumerate(texts.items()):
        write("augment", name, b"\x07" + text.encode())
        write("tokenize", name, bytes([2 * number]) + text.encode())


if __name__ == "__main__":
    model_files()
    safetensors()
    requests()
    scoring()
    words()
