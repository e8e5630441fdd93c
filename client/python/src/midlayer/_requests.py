"""From options to the messages of the wire."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import cast

import numpy as np
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from midlayer.errors import InvalidArgument
from midlayer.options import EmbedOptions, Example, ExampleLike, Output, ScoreOptions
from midlayer.v1.embedding_pb2 import EmbedRequest, OutputSpec
from midlayer.v1.scoring_pb2 import Example as WireExample
from midlayer.v1.scoring_pb2 import ScoreOptions as WireScoreOptions
from midlayer.words import (
    FORMATS,
    FUSIONS,
    METRIC_MODES,
    NORMALIZATIONS,
    POOLINGS,
    PRIORITIES,
    STATES,
    TRUNCATES,
    Words,
)

NONE = "none"  # in place of a selection's id

_EXPECTED = {
    FieldDescriptor.CPPTYPE_INT32: "a whole number of 32 bits",
    FieldDescriptor.CPPTYPE_UINT32: "a whole number from 0 to 2**32 - 1",
    FieldDescriptor.CPPTYPE_UINT64: "a whole number from 0 to 2**64 - 1",
    FieldDescriptor.CPPTYPE_FLOAT: "a number",
    FieldDescriptor.CPPTYPE_DOUBLE: "a number",
    FieldDescriptor.CPPTYPE_BOOL: "True or False",
    FieldDescriptor.CPPTYPE_STRING: "a string of Unicode characters",
    FieldDescriptor.CPPTYPE_ENUM: "a word",
}

_EMBED_WORDS: Mapping[str, Words[str]] = {
    "pooling": cast(Words[str], POOLINGS),
    "state": cast(Words[str], STATES),
    "fusion": cast(Words[str], FUSIONS),
    "truncate": cast(Words[str], TRUNCATES),
    "format": cast(Words[str], FORMATS),
    "priority": cast(Words[str], PRIORITIES),
}
_SCORE_WORDS: Mapping[str, Words[str]] = {
    "poolings": cast(Words[str], POOLINGS),
    "mode": cast(Words[str], METRIC_MODES),
    "normalization": cast(Words[str], NORMALIZATIONS),
    "state": cast(Words[str], STATES),
}


def embed_request(method: str, options: EmbedOptions) -> EmbedRequest:
    """The request without its texts. `method` is named where an option is none: TypeError, as Python has it."""
    _refuse_unknown(method, options, EmbedOptions)
    values = dict(options)
    outputs = cast("Sequence[Output] | None", values.pop("outputs", None))
    if values.get("prompt_name") is not None and values.get("prompt") is not None:
        raise InvalidArgument("prompt: expected none beside prompt_name, found both")
    request = EmbedRequest()
    _fill(request, "", values, _EMBED_WORDS)
    for place, output in enumerate(outputs or ()):
        _fill_output(request.outputs.add(), f"outputs[{place}]", output)
    return request


def score_options(options: ScoreOptions) -> WireScoreOptions:
    """The first message of a scoring run. TypeError where an option is none."""
    _refuse_unknown("score_layers", options, ScoreOptions)
    values = dict(options)
    expected = cast("str | None", values.pop("expected_current", None))
    if expected is not None:
        values["expected_current_id"] = selection_id(expected)
    wire = WireScoreOptions()
    _fill(wire, "", values, _SCORE_WORDS)
    return wire


def wire_example(place: int, example: ExampleLike) -> WireExample:
    """An example, the `place`-th of its data set."""
    if isinstance(example, str):
        values: dict[str, object] = {"text": example}
    elif isinstance(example, Example):
        values = {field.name: getattr(example, field.name) for field in fields(example)}
    else:
        values = dict(example)
    unknown = values.keys() - {field.name for field in fields(Example)}
    if unknown:
        known = ", ".join(field.name for field in fields(Example))
        raise InvalidArgument(f"examples[{place}]: expected the fields {known}, found {sorted(unknown)[0]}")
    wire = WireExample()
    _fill(wire, f"examples[{place}].", values, {})
    return wire


def selection_id(id: str) -> str:  # noqa: A002
    """An id as the wire has it: empty for "none"."""
    return "" if id == NONE else id


def _refuse_unknown(method: str, options: Mapping[str, object], known: type) -> None:
    for name in options:
        if name not in known.__annotations__:
            raise TypeError(f"{method}() got an unexpected keyword argument {name!r}")


def _fill_output(wire: OutputSpec, path: str, output: Output) -> None:
    if not isinstance(cast(object, output), Output):
        raise InvalidArgument(f"{path}: expected a midlayer.Output, found {output!r}")
    values = {field.name: getattr(output, field.name) for field in fields(output)}
    if isinstance(output.layers, (int, np.integer)):
        values["layers"] = [output.layers]
    _fill(wire, f"{path}.", values, _EMBED_WORDS)


def _fill(wire: Message, path: str, values: Mapping[str, object], words: Mapping[str, Words[str]]) -> None:
    """Sets the fields that are not None. InvalidArgument names the field by `path` and its name."""
    for name, value in values.items():
        if value is None:
            continue
        known = words.get(name)
        _set(wire, path, name, value if known is None else _numbers(f"{path}{name}", value, known))


def _numbers(field: str, value: object, words: Words[str]) -> int | list[int]:
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [words.number(field, word) for word in cast("Sequence[str]", value)]
    return words.number(field, cast(str, value))


def _set(wire: Message, path: str, name: str, value: object) -> None:
    target = getattr(wire, name)
    is_list = hasattr(target, "extend")
    try:
        if not is_list:
            setattr(wire, name, value)
        elif isinstance(value, str):
            raise TypeError(value)
        else:
            target.extend(value)
    except (TypeError, ValueError) as error:
        expected = _EXPECTED[wire.DESCRIPTOR.fields_by_name[name].cpp_type]
        expected = f"a list, each {expected}" if is_list else expected
        raise InvalidArgument(f"{path}{name}: expected {expected}, found {value!r:.80}") from error
