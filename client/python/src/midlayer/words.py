"""The words for the enumerations of the wire: those of the command line `midlayer`."""

from collections.abc import Mapping
from typing import Generic, Literal, TypeVar, cast

from google.protobuf.descriptor import EnumDescriptor

from midlayer.errors import InvalidArgument
from midlayer.v1 import scoring_pb2, types_pb2

Pooling = Literal["cls", "mean", "last", "max", "weighted_mean", "trained_last", "trained_multi"]
State = Literal["raw", "normed"]
Fusion = Literal["concat", "mean", "weighted_sum"]
Truncate = Literal["none", "left", "right"]
VectorFormat = Literal["float32", "float16", "bfloat16", "int8", "binary"]
Priority = Literal["interactive", "bulk"]
LayerSource = Literal["request", "selection", "default"]
Evidence = Literal["spectral", "self_retrieval", "task"]
Confidence = Literal["low", "medium", "high"]
Direction = Literal["min", "max"]
MetricMode = Literal["definition", "reference-2024", "reference-2025"]
EntropyNormalization = Literal["raw", "log-n", "log-d", "max-entropy", "log-n-log-d"]
Health = Literal["UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"]

Word = TypeVar("Word", bound=str)


class Words(Generic[Word]):
    """One enumeration: its values' names without their common prefix, in small letters."""

    def __init__(self, enum: EnumDescriptor, prefix: str, separator: str = "_") -> None:
        names = {value.number: value.name.removeprefix(prefix).lower() for value in enum.values if value.number != 0}
        self._words = {number: cast(Word, name.replace("_", separator)) for number, name in names.items()}
        self._numbers: Mapping[str, int] = {word: number for number, word in self._words.items()}

    @property
    def words(self) -> tuple[Word, ...]:
        """All of them."""
        return tuple(self._words.values())

    def number(self, field: str, word: Word | None) -> int:
        """The number of a word; 0 (unspecified) for None. InvalidArgument names `field` and the known words."""
        if word is None:
            return 0
        number = self._numbers.get(word) if isinstance(cast(object, word), str) else None
        if number is None:
            raise InvalidArgument(f"{field}: expected one of {', '.join(self.words)}, found {word!r}")
        return number

    def word(self, number: int) -> Word:
        """The word of a number; "value 9" for one that is newer than this client."""
        return self._words.get(number) or cast(Word, f"value {number}")

    def word_or_none(self, number: int) -> Word | None:
        """The same; None for 0 (unspecified)."""
        return self.word(number) if number else None


POOLINGS: Words[Pooling] = Words(types_pb2.Pooling.DESCRIPTOR, "POOLING_")
STATES: Words[State] = Words(types_pb2.State.DESCRIPTOR, "STATE_")
FUSIONS: Words[Fusion] = Words(types_pb2.Fusion.DESCRIPTOR, "FUSION_")
TRUNCATES: Words[Truncate] = Words(types_pb2.Truncate.DESCRIPTOR, "TRUNCATE_")
FORMATS: Words[VectorFormat] = Words(types_pb2.VectorFormat.DESCRIPTOR, "VECTOR_FORMAT_")
PRIORITIES: Words[Priority] = Words(types_pb2.Priority.DESCRIPTOR, "PRIORITY_")
LAYER_SOURCES: Words[LayerSource] = Words(types_pb2.LayerSource.DESCRIPTOR, "LAYER_SOURCE_")
EVIDENCES: Words[Evidence] = Words(types_pb2.Evidence.DESCRIPTOR, "EVIDENCE_")
CONFIDENCES: Words[Confidence] = Words(types_pb2.Confidence.DESCRIPTOR, "CONFIDENCE_")
DIRECTIONS: Words[Direction] = Words(scoring_pb2.Direction.DESCRIPTOR, "DIRECTION_")
METRIC_MODES: Words[MetricMode] = Words(scoring_pb2.MetricMode.DESCRIPTOR, "METRIC_MODE_", "-")
NORMALIZATIONS: Words[EntropyNormalization] = Words(
    scoring_pb2.EntropyNormalization.DESCRIPTOR, "ENTROPY_NORMALIZATION_", "-"
)
