"""The software bill of materials: CycloneDX by its own schema, and complete by what cargo, pip and dpkg know."""

import json
import pathlib
import re
import subprocess

import harness
from harness import SOURCE, run

STATUS = pathlib.Path("/var/lib/dpkg/status")


class Sbom(harness.PackagesCase):
    packages = ("cyclonedx",)

    def setUp(self):
        if not STATUS.exists():
            harness.absent(self, "this is no Debian")
        done = run([SOURCE / "tools/sbom.py", "--cuda", "--dpkg-status", STATUS])
        self.assertEqual(done.returncode, 0, done.stderr)
        self.text = done.stdout
        self.components = {one["bom-ref"]: one for one in json.loads(self.text)["components"]}

    def purls(self, kind):
        return {purl.removeprefix(f"pkg:{kind}/").split("?")[0] for purl in self.components if purl.startswith(f"pkg:{kind}/")}

    def test_it_is_cyclonedx(self):
        from cyclonedx.schema import SchemaVersion
        from cyclonedx.validation.json import JsonStrictValidator
        validator = JsonStrictValidator(SchemaVersion.V1_6)
        self.assertIsNone(validator.validate_str(self.text))
        damaged = self.text.replace('"type": "library"', '"type": "librarian"', 1)
        self.assertIsNotNone(validator.validate_str(damaged), "the schema is really looked at")

    def test_it_has_what_is_pinned_with_its_digest(self):
        for file in ("requirements.txt", "requirements-hiredis.txt", "requirements-cuda.txt"):
            for line in (SOURCE / "tools" / file).read_text().splitlines():
                if found := re.match(r"(\S+)==(\S+) --hash=sha256:(\w+)", line):
                    name, version, digest = found.groups()
                    component = self.components[f"pkg:pypi/{name}@{version}"]
                    self.assertEqual(component["hashes"], [{"alg": "SHA-256", "content": digest}])

    def test_the_model_can_be_left_out(self):
        done = run([SOURCE / "tools/sbom.py", "--cuda", "--no-model", "--dpkg-status", STATUS])
        self.assertEqual(done.returncode, 0, done.stderr)
        found = {one["bom-ref"] for one in json.loads(done.stdout)["components"]}
        left_out = [self.components[one] for one in self.components.keys() - found]
        self.assertEqual([one["type"] for one in left_out], ["machine-learning-model"])

    def test_it_has_the_crates_that_cargo_links(self):
        """As `cargo tree` tells them, which is another way to ask; its macros (proc-macro) are not linked."""
        done = subprocess.run(["cargo", "tree", "--locked", "--offline", "--edges=normal,no-proc-macro", "--prefix=none", "--format={p}",
                               "--target=x86_64-unknown-linux-gnu"], cwd=SOURCE / "server/ffi", capture_output=True, text=True, check=True)
        tree = {f"{name}@{version}" for name, version in re.findall(r"(?m)^(\S+) v(\S+)", done.stdout)}
        self.assertEqual(self.purls("cargo"), {one for one in tree if not one.startswith("midlayer-ffi@")})
        for purl in self.purls("cargo"):
            component = self.components[f"pkg:cargo/{purl}"]
            self.assertIn("hashes", component)
            self.assertIn("licenses", component)

    def test_it_has_the_packages_of_debian(self):
        done = subprocess.run(["dpkg-query", "-W", "-f", "${db:Status-Status} ${Package}@${Version}\n"], capture_output=True, text=True, check=True)
        installed = {line.split()[1] for line in done.stdout.splitlines() if line.startswith("installed ")}
        self.assertEqual({re.sub("%2B", "+", purl) for purl in self.purls("deb/debian")}, installed)


if __name__ == "__main__":
    harness.unittest.main()
