"""Embeddings from any layer of a transformer, by a midlayer-server.

with midlayer.Client("127.0.0.1:50051") as client:
    vectors = client.embed(["Hello, middle layers."], layer=3).vectors
"""

from importlib.metadata import version

from midlayer.aio import AsyncClient
from midlayer.client import Client
from midlayer.errors import (
    Aborted,
    AlreadyExists,
    Cancelled,
    DataLoss,
    DeadlineExceeded,
    FailedPrecondition,
    Internal,
    InvalidArgument,
    MidlayerError,
    NotFound,
    OutOfRange,
    PermissionDenied,
    ResourceExhausted,
    Unauthenticated,
    Unavailable,
    Unimplemented,
)
from midlayer.options import EmbedOptions, Example, Output, ScoreOptions
from midlayer.report import Curve, ScoreReport
from midlayer.results import (
    EmbedResult,
    Model,
    OutputVectors,
    Progress,
    Promotion,
    Selection,
    StoredSelection,
    Timing,
)
from midlayer.tls import Tls

__all__ = [
    "Aborted",
    "AlreadyExists",
    "AsyncClient",
    "Cancelled",
    "Client",
    "Curve",
    "DataLoss",
    "DeadlineExceeded",
    "EmbedOptions",
    "EmbedResult",
    "Example",
    "FailedPrecondition",
    "Internal",
    "InvalidArgument",
    "MidlayerError",
    "Model",
    "NotFound",
    "OutOfRange",
    "Output",
    "OutputVectors",
    "PermissionDenied",
    "Progress",
    "Promotion",
    "ResourceExhausted",
    "ScoreOptions",
    "ScoreReport",
    "Selection",
    "StoredSelection",
    "Timing",
    "Tls",
    "Unauthenticated",
    "Unavailable",
    "Unimplemented",
    "__version__",
]

__version__ = version("midlayer")
