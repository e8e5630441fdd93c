"""The package as others get it: sdist, wheel, an empty virtual environment."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

import midlayer
from tests.harness import PACKAGE, Server, cli

WHEELS = os.environ.get("MIDLAYER_PYTHON_WHEELS")
MESSAGES = ("embedding", "scoring", "selection", "types")


def run(*command: object, cwd: Path | None = None) -> str:
    done = subprocess.run([str(part) for part in command], cwd=cwd, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist, and the wheel that was built of it."""
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, PACKAGE)
    return folder


def test_the_sdist_carries_the_protos_and_nothing_generated(built: Path) -> None:
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.split("/", 1)[1] for name in archive.getnames()}
    assert {f"proto/midlayer/v1/{name}.proto" for name in MESSAGES} <= names
    assert {"LICENSE", "README.md", "hatch_build.py", "src/midlayer/py.typed"} <= names
    assert not any("_pb2" in name or "tests/" in name for name in names)


def test_the_wheel_is_pure_and_whole(built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    assert wheel.name == f"midlayer-{midlayer.__version__}-py3-none-any.whl"
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {f"midlayer/v1/{name}_pb2.{kind}" for name in MESSAGES for kind in ("py", "pyi")} <= names
    assert {"midlayer/py.typed", "midlayer/client.py"} <= names
    assert all(name.startswith("midlayer") for name in names)
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_the_wheel_in_an_empty_environment(built: Path, server: Server, tmp_path: Path) -> None:
    (wheel,) = built.glob("*.whl")
    venv.create(tmp_path / "venv", with_pip=True)
    python = tmp_path / "venv" / "bin" / "python"
    source = ["--no-index", "--find-links", WHEELS] if WHEELS else []
    run(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *source, wheel)
    script = f"""
import midlayer, sys
client = midlayer.Client({server.address!r})
result = client.embed(["one text"], layer=1)
assert result.vectors.shape == (1, 32)
report = client.score_layers(["one text of some words", "another text of some words"] * 5)
for call, extra in ((report.to_pandas, "pandas"), (report.plot, "plot")):
    try:
        call()
    except ImportError as error:
        assert f'pip install "midlayer[{{extra}}]"' in str(error), error
    else:
        raise AssertionError(extra)
print(midlayer.__file__)
"""
    assert str(tmp_path) in run(python, "-W", "error", "-c", script, cwd=tmp_path)
    run(python, "-m", "pip", "check")


def test_the_version_is_that_of_the_command_line() -> None:
    assert cli("--version").strip() == f"midlayer {midlayer.__version__}"
    assert f'\nversion = "{midlayer.__version__}"\n' in (PACKAGE / "pyproject.toml").read_text()
