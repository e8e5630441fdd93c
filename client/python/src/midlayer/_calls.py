"""The calls with one answer, for both clients."""

from __future__ import annotations

from collections.abc import Sequence

from google.protobuf.wrappers_pb2 import Int32Value, StringValue

from midlayer import _answers
from midlayer._methods import DELETE, EMBED, GET, GET_MODEL, HEALTH, LIST, PROMOTE, Call
from midlayer._requests import selection_id
from midlayer._texts import Chunk
from midlayer.errors import InvalidArgument
from midlayer.report import ScoreReport
from midlayer.results import EmbedResult, Model, Promotion, Selection, StoredSelection
from midlayer.v1 import selection_pb2 as wire
from midlayer.v1.embedding_pb2 import EmbedRequest, EmbedResponse, GetModelRequest, GetModelResponse
from midlayer.words import Health

_HEALTH: dict[int, Health] = {1: "SERVING", 2: "NOT_SERVING", 3: "SERVICE_UNKNOWN"}


def embed(request: EmbedRequest, chunks: Sequence[Chunk]) -> Call[EmbedRequest, EmbedResponse, EmbedResult]:
    """Embed, of one chunk or none. InvalidArgument where it cannot be sent."""
    whole = EmbedRequest()
    whole.CopyFrom(request)
    for chunk in chunks:
        if chunk.fault:
            raise InvalidArgument(f"texts[{chunk.first}]: {chunk.fault}")
        whole.texts.extend(chunk.texts)
    return Call(EMBED, whole, lambda answer: _answers.embed_result(answer, len(whole.texts)))


def model() -> Call[GetModelRequest, GetModelResponse, Model]:
    """GetModel."""
    return Call(GET_MODEL, GetModelRequest(), _answers.model)


def health(service: str) -> Call[StringValue, Int32Value, Health]:
    """grpc.health.v1.Health/Check."""
    return Call(HEALTH, StringValue(value=service), lambda answer: _HEALTH.get(answer.value, "UNKNOWN"))


def list_selections() -> Call[wire.ListSelectionsRequest, wire.ListSelectionsResponse, list[Selection]]:
    """ListSelections."""
    return Call(
        LIST, wire.ListSelectionsRequest(), lambda answer: [_answers.selection(one) for one in answer.selections]
    )


def get_selection(id: str) -> Call[wire.GetSelectionRequest, wire.GetSelectionResponse, StoredSelection]:  # noqa: A002
    """GetSelection."""
    return Call(GET, wire.GetSelectionRequest(id=id), _stored)


def promote_selection(
    id: str,  # noqa: A002
    expected_current: str | None,
    force: bool,
) -> Call[wire.PromoteSelectionRequest, wire.PromoteSelectionResponse, Promotion]:
    """PromoteSelection."""
    request = wire.PromoteSelectionRequest(id=selection_id(id), force=force)
    if expected_current is not None:
        request.expected_current_id = selection_id(expected_current)
    return Call(PROMOTE, request, _answers.promotion)


def delete_selection(id: str) -> Call[wire.DeleteSelectionRequest, wire.DeleteSelectionResponse, None]:  # noqa: A002
    """DeleteSelection."""
    return Call(DELETE, wire.DeleteSelectionRequest(id=id), lambda _: None)


def _stored(answer: wire.GetSelectionResponse) -> StoredSelection:
    return StoredSelection(**vars(_answers.selection(answer.selection)), report=ScoreReport(answer.report))
