"""From the messages of the wire to results."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timezone

import numpy as np
from numpy.typing import NDArray

from midlayer.errors import Aborted, Internal
from midlayer.results import EmbedResult, Model, OutputVectors, Progress, Promotion, Selection, Timing
from midlayer.v1.embedding_pb2 import EmbedResponse, GetModelResponse, OutputInfo, Vector
from midlayer.v1.scoring_pb2 import ScoreProgress
from midlayer.v1.selection_pb2 import PromoteSelectionResponse
from midlayer.v1.types_pb2 import Selection as WireSelection
from midlayer.words import CONFIDENCES, EVIDENCES, FORMATS, FUSIONS, LAYER_SOURCES, POOLINGS, STATES, VectorFormat

Floats = NDArray[np.float32]


def _from_float32(vector: Vector, _: int) -> Floats:
    return np.array(vector.values, np.float32)


def _from_float16(vector: Vector, _: int) -> Floats:
    return np.frombuffer(vector.data, "<f2").astype(np.float32)


def _from_bfloat16(vector: Vector, dimensions: int) -> Floats:
    halves = np.zeros((dimensions, 2), "<u2")
    halves[:, 1] = np.frombuffer(vector.data, "<u2")
    return np.frombuffer(halves.tobytes(), "<f4").astype(np.float32)


def _from_int8(vector: Vector, _: int) -> Floats:
    values = np.frombuffer(vector.data, np.int8).astype(np.float32)
    values *= vector.scale
    return values


def _from_binary(vector: Vector, dimensions: int) -> Floats:
    bits = np.unpackbits(np.frombuffer(vector.data, np.uint8), count=dimensions)
    return bits.astype(np.float32) * 2 - 1


_DECODERS: dict[VectorFormat, Callable[[Vector, int], Floats]] = {
    "float32": _from_float32,
    "float16": _from_float16,
    "bfloat16": _from_bfloat16,
    "int8": _from_int8,
    "binary": _from_binary,
}


def embed_result(answer: EmbedResponse, texts: int, first: int = 0) -> EmbedResult:
    """The result for `texts` texts, which begin at place `first` of the input. Internal where it is not whole."""
    if len(answer.embeddings) != texts:
        raise Internal(f"the server sent {len(answer.embeddings)} embeddings for {texts} texts")
    decode = _DECODERS.get(FORMATS.word(answer.format))
    if decode is None:
        raise Internal(f"the server sent vectors in a format that was not asked for: {answer.format}")
    timing = answer.timing
    return EmbedResult(
        outputs=tuple(_output(answer, place, info, decode) for place, info in enumerate(answer.outputs)),
        tokens=np.array([embedding.tokens for embedding in answer.embeddings], np.int64),
        truncated=np.array([embedding.truncated for embedding in answer.embeddings], np.bool_),
        selection_id=answer.selection_id or None,
        model_fingerprint=answer.model_fingerprint,
        timing=Timing(timing.tokenize_seconds, timing.queue_seconds, timing.forward_seconds),
        first=first,
    )


def _output(
    answer: EmbedResponse, place: int, info: OutputInfo, decode: Callable[[Vector, int], Floats]
) -> OutputVectors:
    vectors = np.empty((len(answer.embeddings), info.dimensions), np.float32)
    for row, embedding in zip(vectors, answer.embeddings, strict=True):
        row[:] = decode(embedding.vectors[place], info.dimensions)
    return OutputVectors(
        vectors=vectors,
        layers=tuple(info.layers),
        pooling=POOLINGS.word(info.pooling),
        state=STATES.word(info.state),
        fusion=FUSIONS.word_or_none(info.fusion),
        normalized=info.normalized,
        dense=info.dense,
        layer_source=LAYER_SOURCES.word(info.layer_source),
    )


def join(results: Sequence[EmbedResult]) -> EmbedResult:
    """One result of several, in order. Aborted where they were not made alike: a selection was promoted meanwhile."""
    one = results[0]
    for other in results[1:]:
        if _kind(other) != _kind(one):
            raise Aborted("the selection or the model changed between two messages of this call: call again")
    columns = zip(*(result.outputs for result in results), strict=True)
    timings = [result.timing for result in results]
    return EmbedResult(
        outputs=tuple(
            replace(same[0], vectors=np.concatenate([output.vectors for output in same])) for same in columns
        ),
        tokens=np.concatenate([result.tokens for result in results]),
        truncated=np.concatenate([result.truncated for result in results]),
        selection_id=one.selection_id,
        model_fingerprint=one.model_fingerprint,
        timing=Timing(
            tokenize=max(timing.tokenize for timing in timings),
            queue=max(timing.queue for timing in timings),
            forward=max(timing.forward for timing in timings),
        ),
    )


def _kind(result: EmbedResult) -> tuple[object, ...]:
    """All but the vectors themselves."""
    outputs = [(output.layers, output.pooling, output.state, output.vectors.shape[1]) for output in result.outputs]
    return (result.selection_id, result.model_fingerprint, *outputs)


def model(answer: GetModelResponse) -> Model:
    """The model."""
    return Model(
        name=answer.name,
        architecture=answer.architecture,
        attention=answer.attention,
        layers=answer.layers,
        max_layer=answer.max_layer,
        hidden_size=answer.hidden_size,
        dense_dimensions=answer.dense_dimensions,
        has_final_norm=answer.has_final_norm,
        default_pooling=POOLINGS.word(answer.default_pooling),
        poolings=tuple(POOLINGS.word(pooling) for pooling in answer.poolings),
        prompts=dict(answer.prompts),
        default_prompt_name=answer.default_prompt_name or None,
        max_tokens=answer.max_tokens,
        max_texts=answer.max_texts,
        max_text_bytes=answer.max_text_bytes,
        dtype=answer.dtype,
        device=answer.device,
        fingerprints=tuple(answer.fingerprints),
        selection=selection(answer.selection) if answer.HasField("selection") else None,
        server_version=answer.server_version,
    )


def selection(wire: WireSelection) -> Selection:
    """A selection."""
    return Selection(
        id=wire.id,
        layer=wire.layer,
        pooling=POOLINGS.word_or_none(wire.pooling),
        state=STATES.word(wire.state),
        criterion=wire.criterion,
        metric=wire.metric,
        value=wire.value,
        evidence=EVIDENCES.word_or_none(wire.evidence),
        confidence=CONFIDENCES.word(wire.confidence),
        reason=wire.reason,
        dataset_digest=wire.dataset_digest,
        model_fingerprint=wire.model_fingerprint,
        created=datetime.fromtimestamp(wire.created_unix_seconds, timezone.utc),
        promoted=wire.promoted,
    )


def promotion(answer: PromoteSelectionResponse) -> Promotion:
    """What was promoted."""
    now = selection(answer.selection) if answer.HasField("selection") else None
    return Promotion(selection=now, previous_id=answer.previous_id or None)


def progress(wire: ScoreProgress) -> Progress:
    """How far a run is."""
    return Progress(
        stage=wire.stage,
        done=wire.done,
        total=wire.total or None,
        remaining_seconds=wire.remaining_seconds or None,
    )
