"""What midlayer-server makes of model directories: of damaged ones above all."""

import json
import shutil
import unittest

import harness
from harness import SERVER, TEXTS, Model, Server, run

QUERY = "encoder.layer.1.attention.self.query.weight"  # [32, 32]


def drop(name):
    return lambda tensors: tensors.pop(name)


def only_pickle(model):
    model.remove("model.safetensors")
    (model.path / "pytorch_model.bin").write_bytes(b"PK")


def add_token(tokenizer):
    tokenizer["added_tokens"].append({"id": 283, "content": "[NEW]", "single_word": False, "lstrip": False,
                                      "rstrip": False, "normalized": False, "special": True})


def write(file, text):
    return lambda model: (model.path / file).write_text(text)


# Name, the damage, and what the message must hold: file, tensor or field, what was expected, what was found.
DAMAGES = [
    ("no directory", lambda m: shutil.rmtree(m.path), ["--model", "expected a directory"]),
    ("no config", lambda m: m.remove("config.json"), ["config.json: file not found"]),
    ("config is no JSON", write("config.json", "{hidden"), ["config.json: expected JSON", "found 7 bytes"]),
    ("config is a list", write("config.json", "[]"), ["config.json", "model_type", "expected"]),
    ("config is empty", write("config.json", ""), ["config.json: expected JSON", "found 0 bytes"]),
    ("model_type unknown", lambda m: m.set(model_type="gpt9"),
     ["config.json: model_type: expected one of bert, camembert", "found gpt9"]),
    ("model_type absent", lambda m: m.set(model_type=None), ["config.json: model_type: expected a string, found nothing"]),
    ("activation unknown", lambda m: m.set(hidden_act="mish"),
     ["config.json: hidden_act: expected one of gelu", "found mish"]),
    ("a decoder", lambda m: m.set(is_decoder=True), ["config.json: is_decoder: expected false"]),
    ("no heads", lambda m: m.set(num_attention_heads=0), ["config.json: num_attention_heads: expected", "found 0"]),
    ("heads that do not divide", lambda m: m.set(num_attention_heads=5),
     ["config.json: hidden_size: expected a multiple of the 5 attention heads, found 32"]),
    ("a number in quotes", lambda m: m.set(num_hidden_layers="3"),
     ["config.json: num_hidden_layers: expected an integer", 'found "3"']),
    ("wider than the weights", lambda m: m.set(hidden_size=64),
     ["model.safetensors: tensor ", "expected shape [64", "found [32"]),
    ("fewer blocks than the weights", lambda m: m.set(num_hidden_layers=2),
     ["model.safetensors: tensor encoder.layer.2.", "block 3", "config.json has 2 blocks"]),
    ("more blocks than the weights", lambda m: m.set(num_hidden_layers=4),
     ["tensor encoder.layer.3.", "expected [", "found none"]),
    ("vocabulary larger than the weights", lambda m: m.set(vocab_size=300),
     ["model.safetensors: tensor embeddings.word_embeddings.weight: expected shape [300, 32], found [283, 32]"]),
    ("no weights", lambda m: m.remove("model.safetensors"),
     ["expected model.safetensors or model.safetensors.index.json, found neither"]),
    ("weights cut short", lambda m: m.truncate("model.safetensors", 100_000),
     ["model.safetensors: expected a safetensors file of 100000 bytes"]),
    ("weights cut inside the header", lambda m: m.truncate("model.safetensors", 500),
     ["model.safetensors: expected a safetensors file of 500 bytes"]),
    ("weights empty", lambda m: m.truncate("model.safetensors", 0), ["model.safetensors", "found an empty file"]),
    ("header lies about a shape", lambda m: m.edit_header(lambda h: h[QUERY].update(shape=[32, 33])),
     ["model.safetensors: expected a safetensors file", "invalid shape, data type, or offset"]),
    ("header lies about an offset", lambda m: m.edit_header(lambda h: h[QUERY].update(data_offsets=[0, 1 << 40])),
     ["model.safetensors: expected a safetensors file", QUERY]),
    ("tensor missing", lambda m: m.rewrite(drop(QUERY)), [f"tensor {QUERY}: expected [32, 32], found none"]),
    ("bias missing", lambda m: m.rewrite(drop("embeddings.LayerNorm.bias")),
     ["tensor embeddings.LayerNorm.bias: expected [32], found none"]),
    ("wrong shape", lambda m: m.rewrite(lambda t: t[QUERY].__setitem__(1, [16, 64])),
     [f"model.safetensors: tensor {QUERY}: expected shape [32, 32], found [16, 64]"]),
    ("tensor too many", lambda m: m.rewrite(lambda t: t.update({"encoder.layer.1.adapter.weight": ["F32", [1], b"0000"]})),
     ["model.safetensors: tensor encoder.layer.1.adapter.weight: not a part of architecture bert"]),
    ("integers for weights", lambda m: m.rewrite(lambda t: t[QUERY].__setitem__(0, "I32")),
     ["expected a tensor of type F32, F16, BF16 or F64, found I32"]),
    ("only a pickle", only_pickle,
     ["expected model.safetensors, found only pytorch_model.bin", "convert it with", "save_pretrained"]),
    ("no tokenizer", lambda m: m.remove("tokenizer.json"), ["tokenizer.json: file not found"]),
    ("tokenizer cut short", lambda m: m.truncate("tokenizer.json", 3000), ["tokenizer.json", "expected a tokenizer"]),
    ("tokenizer of another kind", write("tokenizer.json", '{"version": "1.0"}'), ["tokenizer.json", "expected a tokenizer"]),
    ("more ids than the vocabulary", lambda m: m.edit_json("tokenizer.json", add_token),
     ["tokenizer.json: vocabulary: expected ids below the 283 of config.json, found 283"]),
    ("tokenizer_config is no JSON", write("tokenizer_config.json", "?"), ["tokenizer_config.json: expected JSON"]),
]
DAMAGES_OF_SHARDS = [
    ("shard missing", lambda m: m.remove("model-00002-of-00003.safetensors"), ["model-00002-of-00003.safetensors"]),
    ("index is no JSON", write("model.safetensors.index.json", "no"), ["model.safetensors.index.json", "weight_map"]),
    ("tensor in no shard",
     lambda m: m.edit_json("model.safetensors.index.json", lambda i: i["weight_map"].update(
         {"more.weight": "model-00001-of-00003.safetensors"})),
     ["model.safetensors.index.json", 'tensor "more.weight": expected in model-00001-of-00003.safetensors, not found']),
]
DAMAGES_OF_SENTENCE = [
    ("module unknown", write("modules.json", '[{"path": "", "type": "x.LSTM"}]'), ["modules.json: type: expected", "x.LSTM"]),
    ("no pooling", lambda m: shutil.rmtree(m.path / "1_Pooling"), ["1_Pooling/config.json: file not found"]),
    ("Dense of another width", lambda m: m.set("2_Dense/config.json", in_features=33),
     ["2_Dense/config.json: in_features: expected 32, found 33"]),
    ("Dense contradicts its weights", lambda m: m.set("2_Dense/config.json", out_features=17),
     ["2_Dense/", "linear.", "17", "found [16"]),
]


class Damaged(harness.TestCase):
    """Exit code 2 and one message that names file, tensor or field, what was expected and what was found."""

    def check(self, name, table):
        for case, damage, parts in table:
            with self.subTest(case):
                model = Model(self, name)
                damage(model)
                stderr = self.assertRefused(run([SERVER, "--model", model.path, "--device", "cpu"]), *parts)
                self.assertEqual(stderr.count("\n"), 1, stderr)

    def test_single_file(self):
        self.check("bert", DAMAGES)

    def test_shards(self):
        self.check("bert_sharded", DAMAGES_OF_SHARDS)

    def test_sentence_transformers(self):
        self.check("sentence", DAMAGES_OF_SENTENCE)

    def test_an_undamaged_copy_is_served(self):  # else the tables would prove nothing
        for name in ("bert", "bert_sharded", "sentence"):
            model = Model(self, name)
            model.rewrite(lambda tensors: None) if name == "bert" else None
            with Server(model.path) as server:
                self.assertEqual(len(harness.embed_lines(server, ["x"])), 1)


class Layers(harness.TestCase):
    def test_a_server_of_fewer_layers_serves_these_and_agrees_with_the_whole(self):
        with Server() as full, Server("bert", "--max-layer", "1") as cut:
            of_full, of_cut = (json.loads(harness.client("info", "--output=json", server=s).stdout) for s in (full, cut))
            self.assertEqual(len(of_full["fingerprints"]), 4)
            self.assertEqual(of_cut["fingerprints"], of_full["fingerprints"][:2])
            for layer in (0, 1):
                both = [harness.client("embed", f"--layer={layer}", *TEXTS[:5], server=s) for s in (full, cut)]
                self.assertEqual(both[1].returncode, 0, both[1].stderr)
                self.assertEqual(both[0].stdout, both[1].stdout)
            refused = harness.client("embed", "--layer=2", "x", server=cut)
            self.assertEqual(refused.returncode, 1)
            self.assertIn("layer: expected 0 to 1", refused.stderr)
            self.assertIn("found 2", refused.stderr)
            self.assertIn("--max-layer", refused.stderr)

    def test_weights_above_the_deepest_layer_are_checked_but_not_needed_whole(self):
        """A tensor of the wrong shape above --max-layer is still an error: the model is damaged."""
        model = Model(self)
        model.rewrite(lambda t: t["encoder.layer.2.output.dense.weight"].__setitem__(1, [64, 32]))
        done = run([SERVER, "--model", model.path, "--device", "cpu", "--max-layer", "1"])
        self.assertRefused(done, "encoder.layer.2.output.dense.weight: expected shape [32, 64], found [64, 32]")


class Cache(harness.TestCase):
    def test_texts_that_come_again_are_answered_without_the_model(self):
        texts = [f"the server reads text {number}" for number in range(8)]
        with Server("bert", "--cache-entries", "1000") as server:
            first, again = (harness.embed_lines(server, texts) for _ in range(2))
            self.assertEqual(first, again)
            lookups = {result: server.metric(f'midlayer_cache_lookups_total{{result="{result}"}}') for result in ("hit", "miss")}
            self.assertEqual(lookups, {"hit": 8, "miss": 8})
            self.assertEqual(server.metric("midlayer_texts_total"), 8)
            self.assertEqual(server.metric("midlayer_cache_vectors"), 8)
        with Server() as server:  # the vectors are what they are without it, and by default there is none
            self.assertEqual(harness.embed_lines(server, texts), first)
            self.assertEqual(harness.embed_lines(server, texts), first)
            self.assertEqual(server.metric("midlayer_texts_total"), 16)


if __name__ == "__main__":
    unittest.main()
