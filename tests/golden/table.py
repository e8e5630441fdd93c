#!/usr/bin/env python3
"""Make docs/models.md from a run of the golden tests.

    build/release/golden_test --gtest_output=json:golden.json
    python tests/golden/table.py golden.json > docs/models.md
"""

import json
import pathlib
import sys

COLUMNS = ("tokens", "poolings", "bidirectional", "bfloat16", "float16", "pure", "transformers")
MODELS = pathlib.Path(__file__).resolve().parent / "models"

HEAD = """# Models, against transformers

Made by `tests/golden/table.py` from a run of the golden tests: tiny random models of every architecture, every parameter away from its neutral
start, against transformers {version} (eager attention, float32, one text at a time). Largest absolute difference over all layers, texts and numbers;
the bound of the tests is 1e-04.

- **tokens**: the state of every token at every layer.
- **poolings**: every layer, five poolings, raw and normed, all from one request.
- **bidirectional**: the same of a decoder without its causal mask.
- **bfloat16, float16**: lowest cosine of a mean-pooled layer to float32, weights and matrix products in that type.
- **pure**: the same in bfloat16 with the residual stream and norms in that type too (`--pure-low-precision`); **transformers**: what it reaches
  itself when it runs in bfloat16, where it was asked.
- **adapters**: with LoRA adapters merged at load, against PEFT's own merge.
- **trained heads**: the four designs of "Pooling and Attention" at every layer, against the head on transformers' states.

| folder of `tests/golden/models` | `model_type` | tokens | poolings | bidirectional | bfloat16 | float16 | pure | transformers |
|---|---|---|---|---|---|---|---|---|"""


def main() -> None:
    results = json.loads(pathlib.Path(sys.argv[1]).read_text())
    models: dict[str, dict[str, str]] = {}
    adapters: dict[str, str] = {}
    heads: dict[str, str] = {}
    for suite in results["testsuites"]:
        for test in suite["testsuite"]:
            name = test["name"].split("/")[-1]
            if suite["name"] == "Models/ArchitectureTest":
                models.setdefault(name, {}).update({key: test[key] for key in COLUMNS if key in test})
            elif suite["name"] == "AdapterTest":
                adapters |= {key: value for key, value in test.items() if "_adapter" in key}
            elif "trained" in test:
                heads[name] = test["trained"]
    requirements = (MODELS.parent / "requirements.txt").read_text().splitlines()
    version = next(line.split("==")[1] for line in requirements if line.startswith("transformers=="))
    print(HEAD.format(version=version))
    for name, figures in sorted(models.items()):
        model_type = json.loads((MODELS / name / "config.json").read_text())["model_type"]
        print(f"| {name} | {model_type} | " + " | ".join(figures.get(key, "") for key in COLUMNS) + " |")
    print("\n| adapters | poolings |\n|---|---|")
    for name, figure in sorted(adapters.items()):
        print(f"| {name} | {figure} |")
    print("\n| trained heads | every layer |\n|---|---|")
    for name, figure in sorted(heads.items()):
        print(f"| {name.replace('_', ' ')} | {figure} |")


if __name__ == "__main__":
    main()
