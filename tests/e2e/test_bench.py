"""The benchmark beside its peers still runs; what it finds is for a machine with nothing else to do."""

import json
import pathlib
import tempfile
import unittest

import harness
from harness import require

MODEL = harness.SOURCE / "models/all-MiniLM-L6-v2"


class Peers(harness.TestCase):
    def test_a_quick_run_measures_everything(self):
        ghz = require(self, "ghz")
        if not (harness.BINARY / "forward").exists():
            self.skipTest("bench/ is not built")
        with tempfile.TemporaryDirectory(prefix="midlayer-") as folder:
            # Without a Python of its own it finds no peers, and cuts texts by words.
            done = harness.run(["python3", "-B", harness.SOURCE / "bench/peers.py", "--quick", "--model", MODEL, "--build", harness.BINARY,
                                "--ghz", ghz, "--peer-python", "none", "--infinity", "none", "--router", "none", "--out", folder],
                               timeout=240)
            self.assertEqual(done.returncode, 0, done.stderr)
            out = pathlib.Path(folder)
            figures = json.loads((out / "peers.json").read_text())
            self.assertEqual(sorted(figures["contestants"]), ["midlayer bfloat16", "midlayer float32"])
            self.assertEqual(len(figures["left_out"]), 6, figures["left_out"])
            for part in ("throughput", "layers", "growth", "single", "bulk", "start", "forward"):
                self.assertTrue(figures[part], part)
            layers = figures["layers"]["float32"]
            self.assertEqual(list(layers), [*(str(layer) for layer in range(7)), "mixed"])
            for runs in layers.values():
                self.assertGreater(runs[0]["tokens_per_second"], 0)
            self.assertGreater(figures["cosines"]["midlayer bfloat16"], 0.99)
            plots = {file.name for file in out.glob("*.svg")}
            self.assertEqual(plots, {f"{name}.svg" for name in ("growth", "latency_64", "latency_mixed", "layers", "throughput_64",
                                                                 "throughput_mixed")})
            self.assertIn("## Bulk", (out / "peers.md").read_text())


if __name__ == "__main__":
    unittest.main()
