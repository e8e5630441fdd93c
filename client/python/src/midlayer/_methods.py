"""The methods of the services."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from google.protobuf.message import Message
from google.protobuf.wrappers_pb2 import Int32Value, StringValue

from midlayer.v1 import embedding_pb2 as embedding
from midlayer.v1 import scoring_pb2 as scoring
from midlayer.v1 import selection_pb2 as selection

Request = TypeVar("Request", bound=Message)
Response = TypeVar("Response", bound=Message)
Result = TypeVar("Result")


@dataclass(frozen=True)
class Method(Generic[Request, Response]):
    """A method, and what it takes and answers. `retried`: gRPC may call it again where the server was unavailable."""

    service: str
    name: str
    request: type[Request]
    response: type[Response]
    retried: bool = False

    @property
    def path(self) -> str:
        """As gRPC calls it."""
        return f"/{self.service}/{self.name}"


@dataclass(frozen=True)
class Call(Generic[Request, Response, Result]):
    """One request with one answer, and what to make of that."""

    method: Method[Request, Response]
    request: Request
    convert: Callable[[Response], Result]


_EMBEDDING = "midlayer.v1.EmbeddingService"
_SCORING = "midlayer.v1.ScoringService"
_SELECTION = "midlayer.v1.SelectionService"

EMBED = Method(_EMBEDDING, "Embed", embedding.EmbedRequest, embedding.EmbedResponse, retried=True)
EMBED_STREAM = Method(_EMBEDDING, "EmbedStream", embedding.EmbedStreamRequest, embedding.EmbedStreamResponse)
GET_MODEL = Method(_EMBEDDING, "GetModel", embedding.GetModelRequest, embedding.GetModelResponse, retried=True)
SCORE_LAYERS = Method(_SCORING, "ScoreLayers", scoring.ScoreLayersRequest, scoring.ScoreLayersResponse)
LIST = Method(
    _SELECTION, "ListSelections", selection.ListSelectionsRequest, selection.ListSelectionsResponse, retried=True
)
GET = Method(_SELECTION, "GetSelection", selection.GetSelectionRequest, selection.GetSelectionResponse, retried=True)
# Not retried: where the first try did its work and its answer was lost, the second would say that it cannot be done.
PROMOTE = Method(_SELECTION, "PromoteSelection", selection.PromoteSelectionRequest, selection.PromoteSelectionResponse)
DELETE = Method(_SELECTION, "DeleteSelection", selection.DeleteSelectionRequest, selection.DeleteSelectionResponse)
# grpc.health.v1 has two messages of one field each, a string and an enumeration, both number 1: on the wire they are
# the same as these. It is not retried, because it asks for now.
HEALTH = Method("grpc.health.v1.Health", "Check", StringValue, Int32Value)

RETRIED: tuple[Method[Any, Any], ...] = (EMBED, GET_MODEL, LIST, GET)
