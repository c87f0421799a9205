"""The service's own limits, walked from botocore's model of it: what the service checks, and botocore does not."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any


def walk(shape: Any, value: Any, where: str = "") -> Iterator[tuple[str, str]]:
    """Yield (path, problem) for everything in a value that a shape of botocore's service model does not allow."""
    kind = shape.type_name
    if not _is_of(kind, value):
        yield where, f"is a {type(value).__name__} where the service wants a {kind}"
    elif kind == "structure":
        yield from _structure_problems(shape, value, where)
    else:
        yield from _size_problems(shape, value, where)
        if kind == "string":
            yield from _text_problems(shape, value, where)
        elif kind == "list":
            for position, item in enumerate(value):
                yield from walk(shape.member, item, f"{where}[{position}]")
        elif kind == "map":
            for key, item in value.items():
                yield from walk(shape.key, key, f"{where}[{key!r}]")
                yield from walk(shape.value, item, f"{where}[{key!r}]")


_NUMBERS = ("integer", "long", "float", "double")
_PYTHON: dict[str, tuple[type, ...]] = {
    "structure": (dict,),
    "map": (dict,),
    "list": (list, tuple),
    "string": (str,),
    "boolean": (bool,),
    "integer": (int,),
    "long": (int,),
    "float": (int, float),
    "double": (int, float),
}


def _is_of(kind: str, value: Any) -> bool:
    if isinstance(value, bool):
        return kind == "boolean"
    return isinstance(value, _PYTHON.get(kind, (object,)))


def _structure_problems(shape: Any, value: Mapping[str, Any], where: str) -> Iterator[tuple[str, str]]:
    for name in shape.required_members:
        if name not in value:
            yield f"{where}.{name}".lstrip("."), "missing"
    for name, item in value.items():
        path = f"{where}.{name}".lstrip(".")
        if name not in shape.members:
            yield path, f"unknown field; the service knows {', '.join(sorted(shape.members))}"
        else:
            yield from walk(shape.members[name], item, path)


def _size_problems(shape: Any, value: Any, where: str) -> Iterator[tuple[str, str]]:
    number = shape.type_name in _NUMBERS
    if shape.type_name == "boolean":
        return
    size, noun = (value, "is") if number else (len(value), "has length")
    if "max" in shape.metadata and size > shape.metadata["max"]:
        yield where, f"{noun} {size}, at most {shape.metadata['max']}: {_shown(value)}"
    if "min" in shape.metadata and size < shape.metadata["min"]:
        yield where, f"{noun} {size}, at least {shape.metadata['min']}: {_shown(value)}"


def _text_problems(shape: Any, value: str, where: str) -> Iterator[tuple[str, str]]:
    if shape.enum and value not in shape.enum:
        few = ", ".join(shape.enum[:8]) + (", ..." if len(shape.enum) > 8 else "")
        yield where, f"is {value!r}, one of {few}"
    pattern = shape.metadata.get("pattern")
    if pattern and not _matches(pattern, value):
        yield where, f"is {_shown(value)}, which does not match {pattern}"


def _matches(pattern: str, value: str) -> bool:
    # The service's patterns are Java's; Python knows no \p{...}: letters, separators and digits of any script.
    python = pattern.replace(r"\p{L}", r"^\W\d_").replace(r"\p{Z}", r"\s").replace(r"\p{N}", r"\d")
    if python != pattern:
        return all(letter.isalnum() or letter.isspace() or letter in "_.:/=+-@" for letter in value)
    return re.fullmatch(pattern, value, re.DOTALL) is not None


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


@cache
def _service_model() -> Any:
    import botocore.session

    return botocore.session.get_session().get_service_model("sagemaker")


@cache
def input_shape(operation: str) -> Any:
    """Return the shape of an operation's arguments in botocore's service model (read once: it takes a third of a second)."""
    return _service_model().operation_model(operation).input_shape
