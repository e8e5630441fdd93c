"""The texts that all contestants get, with their lengths in tokens."""

from __future__ import annotations

import json
import random
import subprocess
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path

from server import TRUNCATE_RIGHT

# Run by a Python with tokenizers: cuts of so many tokens, special ones included, that are as long when read again.
CUT = """
import json, sys
from pathlib import Path
from tokenizers import Tokenizer
asked = json.load(sys.stdin)
tokenizer = Tokenizer.from_file(str(Path(asked["model"]) / "tokenizer.json"))
tokenizer.no_truncation()
tokenizer.no_padding()
special = tokenizer.num_special_tokens_to_add(is_pair=False)
result = {}
for length in asked["lengths"]:
    cut, held = [], ""
    for text in asked["texts"] * 50:
        held = (held + " " + text).strip()
        encoding = tokenizer.encode(held, add_special_tokens=False)
        if len(encoding.ids) < length - special:
            continue
        shorter, held = held[:encoding.offsets[length - special - 1][1]], ""
        if len(tokenizer.encode(shorter).ids) == length:
            cut.append(shorter)
        if len(cut) == asked["count"]:
            break
    result[length] = cut
json.dump(result, sys.stdout)
"""


@dataclass
class Corpus:
    """Texts in the order in which a load goes round them, from the first."""

    name: str
    texts: list[str]
    tokens: list[int]
    _sums: list[int] = field(init=False)

    def __post_init__(self) -> None:
        self._sums = [0, *accumulate(self.tokens)]

    def tokens_of(self, requests: int) -> int:
        """Tokens of the first so many requests of one text each."""
        rounds, rest = divmod(requests, len(self.texts))
        return rounds * self._sums[-1] + self._sums[rest]

    def write_requests(self, folder: Path, layers: list[int]) -> Path:
        """A file for ghz: a request for each text, at its layer."""
        chosen = zip(self.texts, layers, strict=True)
        data = folder / "requests.json"
        data.write_text(json.dumps([{"texts": [text], "layer": layer, "truncate": TRUNCATE_RIGHT} for text, layer in chosen]))
        return data

    def sample(self, count: int) -> list[str]:
        """So many texts to compare vectors by: the longest eight, where truncation shows, and the first others."""
        by_length = sorted(range(len(self.texts)), key=lambda i: -self.tokens[i])
        longest = by_length[:8]
        return [self.texts[i] for i in (longest + [i for i in range(len(self.texts)) if i not in longest])[:count]]


def read_texts(files: list[Path], count: int) -> list[str]:
    """Texts of JSON Lines files (fields text or text_a) on one line each, drawn by a fixed seed."""
    rows = [json.loads(line) for file in files for line in file.read_text().splitlines()]
    texts = [" ".join((row.get("text") or row.get("text_a") or "").split()) for row in rows]
    texts = list(dict.fromkeys(text for text in texts if text))
    if not texts:
        raise SystemExit("no texts: expected JSON Lines with a field text or text_a")
    random.Random(1).shuffle(texts)
    return texts[:count]


def cut_texts(python: str | None, model: Path, texts: list[str], lengths: list[int]) -> dict[int, list[str]]:
    """For each length as many texts of so many tokens; without tokenizers (python None) of about so many, by words."""
    if not lengths:
        return {}
    if python is None:
        words = " ".join(texts).split()
        return {n: [" ".join(words[at : at + n * 2 // 3]) for at in range(0, len(words), n)][: len(texts)] for n in lengths}
    asked = json.dumps({"model": str(model), "texts": texts, "lengths": lengths, "count": len(texts)})
    out = subprocess.run([python, "-c", CUT], input=asked, capture_output=True, text=True, check=False)
    if out.returncode:
        raise SystemExit(f"cutting texts failed:\n{out.stderr}")
    return {int(length): cut for length, cut in json.loads(out.stdout).items()}


def embed_by_cli(cli: Path, target: str, texts: list[str], layer: int, work: Path, environment: dict[str, str] | None = None) -> list[dict]:
    """What `midlayer embed` gives for each text: its vector and tokens."""
    file = work / "texts.jsonl"
    file.write_text("\n".join(json.dumps({"text": text}) for text in texts))
    command = [cli, "embed", "--target", target, "--input", file, "--layer", str(layer), "--truncate", "right", "--output", "json"]
    out = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if out.returncode:
        raise RuntimeError(f"midlayer embed: {out.stderr.strip()}")
    return [json.loads(line) for line in out.stdout.splitlines()]
