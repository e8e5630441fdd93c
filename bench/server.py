"""midlayer-server as a process of its own, for the benchmarks."""

from __future__ import annotations

import re
import signal
import subprocess
import urllib.request
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
METHOD = "midlayer.v1.EmbeddingService/Embed"
TRUNCATE_RIGHT = 3


@dataclass
class Server:
    process: subprocess.Popen
    target: str
    metrics_url: str

    @staticmethod
    def start(binary: Path, arguments: list[str], environment: dict[str, str] | None = None, store: str = "memory") -> Server:
        process = subprocess.Popen(
            [binary, "--selection-store", store, *arguments, "--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0"],
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        block = ""
        assert process.stdout
        for line in process.stdout:
            block += line
            if found := re.search(r"  metrics +(\S+)", line):
                return Server(process, re.search(r"  grpc +(\S+)", block).group(1), found.group(1))
        raise SystemExit(f"the server did not start:\n{block}")

    def counters(self) -> dict[str, float]:
        """Tokens that were computed, seconds in the model by stage, and processor seconds of the server, by the names of their series."""
        text = urllib.request.urlopen(self.metrics_url).read().decode()
        wanted = r'^(midlayer_tokens_total|process_cpu_seconds_total|midlayer_stage_duration_seconds_sum\{stage="(?:forward|pool)"\}) (\S+)$'
        return {name: float(value) for name, value in re.findall(wanted, text, re.M)}

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait()
