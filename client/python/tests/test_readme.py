"""The examples of README.md run as they are, against a real server."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.harness import PACKAGE, Server

BLOCKS = re.findall(r"(?ms)^```python\n(.*?)^```", (PACKAGE / "README.md").read_text())


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.strip().splitlines()[-1].strip()[:40])
def test_an_example_runs(server: Server, block: str, tmp_path: Path) -> None:
    script = "import midlayer\n" + block.replace("Client()", 'Client("127.0.0.1:50051")')
    script = script.replace("127.0.0.1:50051", server.address)
    done = subprocess.run([sys.executable, "-W", "error", "-c", script], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert bool(done.stdout) == ("print(" in block)


def test_there_are_examples() -> None:
    assert len(BLOCKS) == 8
