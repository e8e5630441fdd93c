"""Shows people what type checkers see."""

import inspect
from collections.abc import Callable
from typing import Any, TypeVar

Function = TypeVar("Function", bound=Callable[..., Any])


def shows(options: type) -> Callable[[Function], Function]:
    """For a function with `**options: Unpack[options]`: help() and completion show the options one by one."""

    def decorate(function: Function) -> Function:
        signature = inspect.signature(function)
        kept = [each for each in signature.parameters.values() if each.kind is not inspect.Parameter.VAR_KEYWORD]
        shown = [
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=_written(kind))
            for name, kind in inspect.get_annotations(options).items()
        ]
        vars(function)["__signature__"] = signature.replace(parameters=[*kept, *shown])
        return function

    return decorate


def _written(annotation: object) -> object:
    """An annotation as it stands in the source, where it was not evaluated."""
    return getattr(annotation, "__forward_arg__", annotation)
