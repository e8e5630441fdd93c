"""How midlayer-server is configured, and what it says when it starts."""

import glob
import json
import math
import os
import pathlib
import re
import struct
import tempfile
import unittest
import unittest.mock

import harness
from harness import MODELS, SERVER, Server, run


def flags_of_source():
    """The flags that server/flags.cc adds."""
    source = (harness.SOURCE / "server/flags.cc").read_text()
    return sorted(set(re.findall(r'\.Add\(\s*"(--[a-z-]+)"', source)))


def write_head(path, design, hidden, layers):
    """A trained pooling head as tools/convert_pooling_head.py would write it, of made-up numbers."""
    latents, inner, mlp = 2, 4, 3
    norms = {f"cross_attend_blocks.{name}.{part}": [hidden] for name in ("0.norm", "0.norm_context", "1.norm")
             for part in ("weight", "bias")}
    shapes = {"latents": [latents, hidden], "pos_emb.weight": [layers, hidden], **norms,
              "cross_attend_blocks.0.fn.to_q.weight": [inner, hidden],
              "cross_attend_blocks.0.fn.to_kv.weight": [2 * inner, hidden],
              "cross_attend_blocks.0.fn.to_out.weight": [hidden, inner],
              "cross_attend_blocks.1.fn.net.0.weight": [2 * mlp, hidden],
              "cross_attend_blocks.1.fn.net.0.bias": [2 * mlp],
              "cross_attend_blocks.1.fn.net.2.weight": [hidden, mlp],
              "cross_attend_blocks.1.fn.net.2.bias": [hidden]}
    header = {"__metadata__": {"format": "midlayer.pooling_head", "version": "1", "design": str(design), "heads": "2"}}
    data = b""
    for name, shape in shapes.items():
        numbers = [math.sin(len(data) + i) for i in range(math.prod(shape))]
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [len(data), len(data) + 4 * len(numbers)]}
        data += struct.pack(f"<{len(numbers)}f", *numbers)
    encoded = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(encoded)) + encoded + data)


class StartUp(harness.TestCase):
    def test_waits_of_threads_are_short_unless_the_environment_says_otherwise(self):
        """OpenMP reads its environment before main(), so the program starts itself again: as the same process."""
        with unittest.mock.patch.dict(os.environ):
            for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT"):
                os.environ.pop(name, None)
            for given, expected in (({}, ["GOMP_SPINCOUNT=1000", "OMP_WAIT_POLICY=active"]), ({"GOMP_SPINCOUNT": "5"}, ["GOMP_SPINCOUNT=5"])):
                with Server("bert", env=given) as server:
                    process = pathlib.Path(f"/proc/{server.process.pid}")
                    variables = (process / "environ").read_text().split("\0")
                    self.assertEqual(sorted(v for v in variables if v.startswith(("GOMP_SPIN", "OMP_WAIT"))), expected)
                    self.assertEqual((process / "comm").read_text(), "midlayer-server\n")
                    self.assertIn("--model", (process / "cmdline").read_text())

    def test_memory_comes_from_jemalloc(self):
        """Which reads its own variable: it writes statistics where it allocated anything itself."""
        with Server("bert", env={"MALLOC_CONF": "stats_print:true"}) as server:
            server.stop()
            allocated = re.search(r"^Allocated: (\d+)", server.errors(), re.MULTILINE)
        self.assertIsNotNone(allocated, "MIDLAYER_JEMALLOC is off, or jemalloc is not asked")
        self.assertGreater(int(allocated[1]), 2**20)

    def test_the_block_tells_what_operators_want_to_know(self):
        with Server("bert", "--max-waiting-texts", "1000") as server:
            self.assertRegex(server.block[0], r"^midlayer \d+\.\d+\.\d+$")
            facts = server.facts
            self.assertEqual(list(facts), ["model", "fingerprint", "layers", "width", "dtype", "device", "attention",
                                           "pooling", "adapters", "head", "limits", "memory", "selections", "security", "grpc", "metrics"])
            self.assertEqual(facts["model"], "bert (bert)")
            self.assertRegex(facts["fingerprint"], r"^[0-9a-f]{64}$")
            self.assertEqual((facts["layers"], facts["width"]), ("3", "32"))
            self.assertEqual((facts["dtype"], facts["device"], facts["pooling"]), ("float32", "cpu", "mean"))
            self.assertEqual(facts["limits"], "66 tokens and 1048576 bytes a text, 256 texts a request, "
                                              "512 tokens a batch, 1000 texts waiting")
            self.assertRegex(facts["memory"], r"^[1-9]\d* MiB resident$")
            self.assertRegex(facts["grpc"], r"^127\.0\.0\.1:[1-9]\d+$")
            self.assertRegex(facts["metrics"], r"^http://127\.0\.0\.1:[1-9]\d+/metrics$")
            self.assertEqual(server.errors(), "")

    def test_a_decoder_with_adapters_and_without_its_mask(self):
        adapters = [harness.SOURCE / f"tests/golden/models/llama_adapter_{name}" for name in ("all", "rs")]
        flags = [f"--adapter={adapter}" for adapter in adapters]
        with Server("llama", *flags, "--attention=bidirectional") as server, Server("llama") as plain:
            facts = server.facts
            self.assertEqual((facts["attention"], facts["pooling"]), ("bidirectional", "mean"))
            self.assertEqual(facts["adapters"], ", ".join(map(str, adapters)))
            self.assertEqual((plain.facts["attention"], plain.facts["pooling"]), ("causal", "last"))
            self.assertNotEqual(facts["fingerprint"], plain.facts["fingerprint"])

    def test_a_trained_head_is_a_pooling(self):
        with tempfile.TemporaryDirectory(prefix="midlayer-") as directory:
            head = pathlib.Path(directory) / "head.safetensors"
            write_head(head, design=3, hidden=24, layers=3)
            with Server("llama", "--pooling-head", head) as server:
                self.assertEqual(server.facts["head"], str(head))
                info = json.loads(harness.client("info", "--output=json", server=server).stdout)
                self.assertIn("POOLING_TRAINED_MULTI", info["poolings"])
                for flags, layer in [([], 3), (["--layer=2"], 2)]:
                    done = harness.client("embed", "--pooling=trained_multi", *flags, "a text", server=server)
                    answer = json.loads(done.stdout)
                    self.assertEqual((answer["layer"], len(answer["embedding"])), (layer, 24))
                    self.assertAlmostEqual(sum(x * x for x in answer["embedding"]), 1, places=5)
                refused = harness.client("embed", "--pooling=trained_last", "a text", server=server)
                self.assertIn("trained head (--pooling-head) is for trained_multi", refused.stderr)
                refused = harness.client("score", "--pooling=trained_multi", "--dataset", "-", server=server, input="a b c\n" * 5)
                self.assertIn("options.poolings", refused.stderr)
            for changed, parts in [(dict(design=5), ["expected a head for causal attention", "--attention"]),
                                   (dict(hidden=20), ["latents", "the model's hidden size"]),
                                   (dict(layers=2), ["pos_emb.weight", "at least 3 rows"])]:
                with self.subTest(changed):
                    write_head(head, **{"design": 3, "hidden": 24, "layers": 3, **changed})
                    self.assertRefused(run([SERVER, "--model", MODELS / "llama", "--pooling-head", head]),
                                       f"--pooling-head: {head}" if "design" not in changed else "--pooling-head", *parts)

    def test_json_logs_are_one_object_a_line(self):
        with Server("bert", "--log-format", "json", "--log-level", "debug") as server:
            self.assertEqual(server.facts["message"], "serving")
            self.assertEqual(server.facts["model"], "bert (bert)")
            done = harness.client("embed", "--prompt-name=a\"b\\", "a secret text", server=server)
            self.assertEqual(done.returncode, 1, done.stderr)
            code, rest = server.stop()
            self.assertEqual(code, 0)
            lines = [json.loads(line) for line in rest.splitlines()]
            of_request = [line for line in lines if line.get("code") == "INVALID_ARGUMENT"]
            self.assertEqual(len(of_request), 1, rest)
            self.assertTrue(of_request[0]["error"].startswith("prompt_name: expected "), of_request)
            self.assertNotIn("secret", rest)

    def test_fewer_layers_are_told(self):
        with Server("bert", "--max-layer", "1") as server:
            self.assertEqual(server.facts["layers"], "1 of 3")

    def test_without_metrics(self):
        with Server("bert", "--metrics-listen", "") as server:
            self.assertEqual(server.facts["metrics"], "off")

    def test_the_version_is_printed(self):
        done = run([SERVER, "--version"])
        self.assertEqual(done.returncode, 0)
        self.assertRegex(done.stdout, r"^midlayer \d+\.\d+\.\d+\n$")


class Flags(harness.TestCase):
    def test_help_names_every_flag_with_its_environment_variable(self):
        done = run([SERVER, "--help"])
        self.assertEqual(done.returncode, 0)
        flags = flags_of_source()
        self.assertGreater(len(flags), 15)
        for flag in flags:
            name = "MIDLAYER_" + flag[2:].upper().replace("-", "_")
            self.assertRegex(done.stdout, rf"(?m)^\s*{flag}=.*\b{name}\b", flag)

    def test_the_environment_configures_and_the_command_line_wins(self):
        env = {"MIDLAYER_MAX_TEXTS": "11", "MIDLAYER_BATCH_TOKENS": "77", "MIDLAYER_MAX_LAYER": "2",
               "MIDLAYER_DEFAULT_POOLING": "cls", "MIDLAYER_MODEL": "/nonexistent"}
        with Server("bert", "--max-layer", "1", env=env) as server:  # Server gives --model
            self.assertIn("11 texts a request, 77 tokens a batch", server.facts["limits"])
            self.assertEqual(server.facts["layers"], "1 of 3")
            self.assertEqual(server.facts["pooling"], "cls")
            self.assertEqual(server.facts["model"], "bert (bert)")

    def test_every_flag_can_come_from_the_environment(self):
        env = {"MIDLAYER_MODEL": str(MODELS / "bert"), "MIDLAYER_DEVICE": "tpu"}
        self.assertRefused(run([SERVER], env=harness.environment(env)), "--device", "tpu")

    def test_wrong_flags_are_named(self):
        for flags, parts in [
            (["--max-texts", "many"], ["--max-texts", "many"]),
            (["--max-texts", "0"], ["--max-texts", "0", "1 to"]),
            (["--max-layer", "-2"], ["--max-layer", "-2"]),
            (["--listen"], ["--listen"]),
            (["--log-level", "loud"], ["--log-level", "loud"]),
            (["--drain-timeout", "-1"], ["--drain-timeout", "-1"]),
            (["--default-pooling", "median"], ["--default-pooling", "median", "weighted_mean"]),
            (["--trim-to-selection", "true", "--selection-store", "memory"], ["--trim-to-selection", "--selection-store", "memory"]),
            (["--trim-to-selection", "true", "--selection-store", "none"], ["--trim-to-selection", "--selection-store", "none"]),
            (["--no-such-flag"], ["--no-such-flag"]),
            (["more"], ["more"]),
        ]:
            with self.subTest(flags=flags):
                done = run([SERVER, "--model", MODELS / "bert", *flags])
                self.assertEqual(done.returncode, 2, done.stderr)
                self.assertEqual(done.stdout, "")
                for part in parts:
                    self.assertIn(part, done.stderr)

    def test_a_missing_model_flag_is_named(self):
        done = run([SERVER])
        self.assertEqual(done.returncode, 2)
        self.assertIn("--model is required", done.stderr)

    def test_a_wrong_value_in_the_environment_is_no_default(self):
        done = run([SERVER, "--model", MODELS / "bert"], env=harness.environment({"MIDLAYER_MAX_TEXTS": "-5"}))
        self.assertEqual(done.returncode, 2)
        self.assertIn("-5", done.stderr)

    def test_what_flags_ask_of_the_model_is_checked(self):
        for flags, parts in [
            (["--max-layer", "9"], ["--max-layer", "0 to 3", "found 9"]),
            (["--max-tokens", "100"], ["--max-tokens", "at most 66", "found 100"]),
            (["--max-tokens", "2"], ["max_tokens", "found 2"]),
            (["--dtype", "int4"], ["--dtype", "float32, bfloat16, float16, int8 or auto", "found int4"]),
            (["--device", "tpu"], ["--device", "cpu, cuda, cuda:N", "or auto", "found tpu"]),
            (["--device", "meta"], ["--device", "found meta"]),
            (["--pure-low-precision", "true"], ["--pure-low-precision", "--dtype bfloat16 or float16", "float32"]),
            (["--pooling-head", "none.safetensors"], ["--pooling-head", "none.safetensors"]),
            (["--default-pooling", "trained_last"], ["--default-pooling", "--pooling-head", "found trained_last"]),
        ]:
            with self.subTest(flags=flags):
                self.assertRefused(run([SERVER, "--model", MODELS / "bert", *flags]), *parts)

    def test_cuda_without_a_gpu_is_refused(self):
        if glob.glob("/dev/nvidia[0-9]*"):
            self.skipTest("this machine has a GPU")
        for device in ("cuda", "cuda:1", "cuda:0,cuda:1"):
            self.assertRefused(run([SERVER, "--model", MODELS / "bert", "--device", device]), "--device", "CUDA")

    def test_addresses_that_cannot_be_had_are_refused(self):
        with Server() as server:
            metrics = server.facts["metrics"].removeprefix("http://").removesuffix("/metrics")
            expected = "expected an address that can be listened on, found "
            for listen, metrics_listen, part in [
                (server.address, "127.0.0.1:0", f"--listen: {expected}{server.address}"),
                ("nonsense", "127.0.0.1:0", f"--listen: {expected}nonsense"),
                ("127.0.0.1:0", metrics, f"--metrics-listen: {expected}{metrics}"),
            ]:
                with self.subTest(listen=listen, metrics_listen=metrics_listen):
                    self.assertRefused(run([SERVER, "--model", MODELS / "bert", "--device", "cpu", "--listen", listen,
                                            "--metrics-listen", metrics_listen]), part)
            self.assertEqual(len(harness.embed_lines(server, ["still there"])), 1)


if __name__ == "__main__":
    unittest.main()
