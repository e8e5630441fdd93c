"""tools/convert_pooling_head.py, by a Python that has torch and safetensors."""

import contextlib
import io
import pathlib
import sys
import tempfile
import unittest
from unittest import mock

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))

try:
    import torch
    from safetensors import safe_open
    from safetensors.torch import load_file

    import convert_pooling_head
except ImportError:
    torch = None

CONVERTED = ROOT / "tests" / "golden" / "pooling" / "head.safetensors"
TO_QUERY = "cross_attend_blocks.0.fn.to_q.weight"


@unittest.skipUnless(torch, "this Python has no torch, or no safetensors")
class ConvertPoolingHead(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.input = pathlib.Path(folder.name) / "attn_pool.pt"
        self.output = pathlib.Path(folder.name) / "head.safetensors"
        self.tensors = load_file(CONVERTED)

    def convert(self, *options):
        """What the program ends with: None, a message for the user, or 2 for wrong options."""
        arguments = ["convert_pooling_head.py", str(self.input), str(self.output), *options]
        with mock.patch.object(sys, "argv", arguments), contextlib.redirect_stderr(io.StringIO()):
            try:
                convert_pooling_head.main()
            except SystemExit as end:
                return end.code
        return None

    def refused(self, message, *options):
        found = str(self.convert(*(options or ["--design=3", "--heads=2"])))
        self.assertTrue(found.startswith(f"{self.input}: {message}"), found)
        self.assertFalse(self.output.exists())

    def refused_with(self, change, message, *options):
        tensors = dict(self.tensors)
        change(tensors)
        torch.save(tensors, self.input)
        with self.subTest(message):
            self.refused(message, *options)

    def test_writes_the_file_that_the_server_is_tested_with(self):
        torch.save(self.tensors, self.input)
        self.assertIsNone(self.convert("--design=3", "--heads=2"))
        with safe_open(self.output, "pt") as head, safe_open(CONVERTED, "pt") as expected:
            self.assertEqual(head.metadata(),
                             {"format": "midlayer.pooling_head", "version": "1", "design": "3", "heads": "2"})
            self.assertEqual(head.metadata(), expected.metadata())
            self.assertEqual(head.keys(), expected.keys())
            for name in expected.keys():
                self.assertTrue(torch.equal(head.get_tensor(name), expected.get_tensor(name)), name)

    def test_a_head_of_the_last_layer_has_no_table(self):
        del self.tensors["pos_emb.weight"]
        torch.save(self.tensors, self.input)
        self.assertIsNone(self.convert("--design=4", "--heads=2"))
        self.assertEqual(load_file(self.output).keys(), self.tensors.keys())

    def test_names_and_shapes_must_be_those_of_a_head(self):
        self.refused_with(lambda t: t.pop("latents"), "tensor latents: expected a matrix, found none")
        self.refused_with(lambda t: t.update({"latents": torch.zeros(8)}),
                          "tensor latents: expected a matrix, found [8]")
        self.refused_with(lambda t: t.pop("cross_attend_blocks.1.norm.bias"),
                          "tensor cross_attend_blocks.1.norm.bias: expected [8], found none")
        self.refused_with(lambda t: t.update({"cross_attend_blocks.0.fn.to_kv.weight": torch.zeros(8, 8)}),
                          "tensor cross_attend_blocks.0.fn.to_kv.weight: expected [16, 8], found [8, 8]")
        self.refused_with(lambda t: t.update({"module.latents": torch.zeros(3, 8)}),
                          "tensor module.latents: expected none of this name in a pooling head")
        self.refused_with(lambda t: t.update({"latents": torch.zeros(3, 8, dtype=torch.int64)}),
                          "latents: expected a tensor of floating point numbers")

    def test_the_options_must_fit(self):
        self.refused_with(lambda t: t, f"tensor {TO_QUERY}: expected rows that 32 heads divide, found 8", "--design=3")
        self.refused_with(lambda t: t,
                          "tensor pos_emb.weight: expected none in design 2, found one: a head of design 3 or 5",
                          "--design=2", "--heads=2")
        self.refused_with(lambda t: t.pop("pos_emb.weight"), "tensor pos_emb.weight: expected a matrix, found none",
                          "--design=5", "--heads=2")
        for options in (["--design=1"], [], ["--design=3", "--heads=0"], ["--design=3", "--heads=x"]):
            self.assertEqual(self.convert(*options), 2, options)

    def test_the_input_must_be_a_state_dict(self):
        self.refused("No such file or directory")
        self.input.write_text("no pickle")
        self.refused("expected a state_dict saved by torch.save: ")
        torch.save(list(self.tensors.values()), self.input)
        self.refused("expected a state_dict, found list")
        torch.save(torch.nn.Linear(1, 1), self.input)  # a pickled module runs code when it is read
        self.refused("expected a state_dict saved by torch.save: ")


if __name__ == "__main__":
    unittest.main()
