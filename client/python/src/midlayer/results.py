"""What calls answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from midlayer.words import Confidence, Evidence, Fusion, LayerSource, Pooling, State

if TYPE_CHECKING:
    from midlayer.report import ScoreReport


@dataclass(frozen=True, eq=False)
class OutputVectors:
    """The vectors of one output, and what the output turned out to be.

    Attributes:
        vectors: float32, (texts, dimensions).
        layers: The layers, none negative.
        pooling: The pooling used.
        state: The state used.
        fusion: The fusion used; None for a single layer.
        normalized: Whether the vectors have length 1.
        dense: Whether the model's Dense modules were applied.
        layer_source: Where the layer came from: the request, the promoted selection, or the server's default.
    """

    vectors: NDArray[np.float32]
    layers: tuple[int, ...]
    pooling: Pooling
    state: State
    fusion: Fusion | None
    normalized: bool
    dense: bool
    layer_source: LayerSource

    @property
    def layer(self) -> int:
        """The layer; of several the deepest."""
        return max(self.layers)

    def __repr__(self) -> str:
        texts, dimensions = self.vectors.shape
        layers = "+".join(str(layer) for layer in self.layers)
        return f"<{texts} texts x {dimensions} dimensions, layer {layers} {self.pooling} {self.state}>"


@dataclass(frozen=True)
class Timing:
    """Where the time went, in seconds: of the slowest text.

    Attributes:
        tokenize: Turning text into tokens.
        queue: Waiting for a batch.
        forward: In the model, pooling included.
    """

    tokenize: float
    queue: float
    forward: float


@dataclass(frozen=True, eq=False)
class EmbedResult:
    """The vectors of some texts, in order, with all that is needed to know what they are.

    Attributes:
        outputs: One for each output asked for.
        tokens: Tokens computed of each text, special tokens and prompt included: int64, (texts,).
        truncated: Whether tokens of it were cut: bool, (texts,).
        selection_id: The selection in force; None where there is none.
        model_fingerprint: SHA-256, hex, of everything that changes these vectors.
        timing: Where the time went.
        first: The place of the first text in the input; above 0 for embed_stream() only.
    """

    outputs: tuple[OutputVectors, ...]
    tokens: NDArray[np.int64]
    truncated: NDArray[np.bool_]
    selection_id: str | None
    model_fingerprint: str
    timing: Timing
    first: int = 0

    @property
    def output(self) -> OutputVectors:
        """The only output. ValueError where there are several."""
        if len(self.outputs) != 1:
            raise ValueError(f"there are {len(self.outputs)} outputs: take one of .outputs")
        return self.outputs[0]

    @property
    def vectors(self) -> NDArray[np.float32]:
        """The vectors of the only output: float32, (texts, dimensions)."""
        return self.output.vectors

    @property
    def layer(self) -> int:
        """The layer of the only output; of several the deepest."""
        return self.output.layer

    @property
    def layers(self) -> tuple[int, ...]:
        """The layers of the only output."""
        return self.output.layers

    @property
    def pooling(self) -> Pooling:
        """The pooling of the only output."""
        return self.output.pooling

    @property
    def state(self) -> State:
        """The state of the only output."""
        return self.output.state

    def __len__(self) -> int:
        return len(self.tokens)

    def __repr__(self) -> str:
        return f"EmbedResult({', '.join(repr(output) for output in self.outputs)})"


@dataclass(frozen=True)
class Selection:
    """A layer chosen for a model by a criterion on a data set.

    Attributes:
        id: Digest of fingerprint, criterion, data set and result.
        layer: The layer.
        pooling: The pooling that it was measured with; None for metrics of tokens.
        state: The state that was measured.
        criterion: What chose it, for example "prompt_entropy:min".
        metric: The metric that decided.
        value: Its value at the layer.
        evidence: What speaks for it; None: nothing.
        confidence: How sure it is.
        reason: Why this layer, in words.
        dataset_digest: SHA-256 of the data set, hex.
        model_fingerprint: Fingerprint of the model up to the layer.
        created: When it was stored, UTC.
        promoted: Whether it is what Embed uses where a request names no layer.
    """

    id: str
    layer: int
    pooling: Pooling | None
    state: State
    criterion: str
    metric: str
    value: float
    evidence: Evidence | None
    confidence: Confidence
    reason: str
    dataset_digest: str
    model_fingerprint: str
    created: datetime
    promoted: bool


@dataclass(frozen=True)
class StoredSelection(Selection):
    """A selection with its evidence.

    Attributes:
        report: The report that it came from.
    """

    report: ScoreReport


@dataclass(frozen=True)
class Promotion:
    """What was promoted.

    Attributes:
        selection: The selection now promoted; None for none.
        previous_id: The id that was promoted before; None for none.
    """

    selection: Selection | None
    previous_id: str | None


@dataclass(frozen=True)
class Progress:
    """How far a scoring run is.

    Attributes:
        stage: "forward" or "metrics".
        done: Tokens (of "metrics": layers) done.
        total: In all; None while unknown.
        remaining_seconds: Time left for the stage, in seconds; None while unknown.
    """

    stage: str
    done: int
    total: int | None
    remaining_seconds: float | None


@dataclass(frozen=True)
class Model:
    """The model and the limits of a server.

    Attributes:
        name: The name of the model's directory.
        architecture: The model_type of its config.json, for example "bert".
        attention: Which tokens a token attends to: "causal" or "bidirectional".
        layers: Blocks of the model, L: layers are 0 to L.
        max_layer: The deepest layer that is loaded.
        hidden_size: Width of every layer.
        dense_dimensions: Dimensions after the model's Dense modules; 0 where it has none.
        has_final_norm: Whether the state "normed" differs from "raw".
        default_pooling: The pooling where a request names none.
        poolings: All that it has.
        prompts: Prompts by name.
        default_prompt_name: The prompt where a request names none; None: no prompt.
        max_tokens: The longest text, special tokens included.
        max_texts: The most texts of one request.
        max_text_bytes: The most bytes of one text.
        dtype: Type of the weights: "float32", "bfloat16" or "float16".
        device: Where it runs: "cpu" or "cuda:N".
        fingerprints: For each loaded layer 0 to max_layer, the model_fingerprint of answers whose deepest layer it is.
        selection: The promoted selection; None: there is none.
        server_version: Version of the server.
    """

    name: str
    architecture: str
    attention: str
    layers: int
    max_layer: int
    hidden_size: int
    dense_dimensions: int
    has_final_norm: bool
    default_pooling: Pooling
    poolings: tuple[Pooling, ...]
    prompts: Mapping[str, str]
    default_prompt_name: str | None
    max_tokens: int
    max_texts: int
    max_text_bytes: int
    dtype: str
    device: str
    fingerprints: tuple[str, ...]
    selection: Selection | None
    server_version: str
