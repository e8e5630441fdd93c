"""Makes the Python modules of midlayer's .proto files when a wheel is built, or the package is installed."""

import subprocess
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class ProtoBuildHook(BuildHookInterface[Any]):
    """Runs protoc; hatchling calls initialize() before it collects the files of a wheel."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002
        """Writes src/midlayer/v1/*_pb2.py and *_pb2.pyi."""
        root = Path(self.root)
        protos = find_protos(root)
        out = root / "src"
        files = sorted(str(path) for path in (protos / "midlayer").rglob("*.proto"))
        options = [f"-I{protos}", f"--python_out={out}", f"--pyi_out={out}"]
        subprocess.run([sys.executable, "-m", "grpc_tools.protoc", *options, *files], check=True)


def find_protos(root: Path) -> Path:
    """The folder of the .proto files: of an sdist, or of the repository that this package lies in."""
    for folder in (root / "proto", root.parent.parent / "proto"):
        if (folder / "midlayer" / "v1").is_dir():
            return folder
    raise FileNotFoundError(f"no .proto files in {root / 'proto'} or {root.parent.parent / 'proto'}")
