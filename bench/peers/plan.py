"""What was asked for, settled before anything starts."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from peers.contestants import Tools, has_modules


@dataclass
class Plan:
    tools: Tools
    forward: Path
    texts: list[Path]
    count: int
    lengths: list[str]
    growth: list[int]
    short: int
    bulk: int
    clients: list[int]
    main_clients: int
    dtypes: list[str]
    seconds: float
    rounds: int
    peers: bool
    quick: bool

    @property
    def depth(self) -> int:
        config = json.loads((self.tools.model / "config.json").read_text())
        return config.get("num_hidden_layers", config.get("n_layers"))

    def cutting_python(self) -> str | None:
        return self.tools.python if self.peers and has_modules(self.tools.python, "tokenizers") else None

    def setup(self) -> dict:
        """What a reader of the figures has to know; no paths of the machine."""
        return {"model": self.tools.model.name, "rounds": self.rounds, "seconds": self.seconds, "threads": self.tools.threads,
                "clients": self.clients, "main_clients": self.main_clients, "max_tokens": self.tools.max_tokens, "short": self.short,
                "server_flags": self.tools.server_flags, "texts": [file.name for file in self.texts], "processor": processor()}  # fmt: skip


def processor() -> str:
    names = [line.split(":", 1)[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    return names[0] if names else "unknown processor"
