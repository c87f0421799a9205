"""The registry as a page: every model with its parameters, bounds and search range."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, get_args

from conviction.models._registry import MODELS

if TYPE_CHECKING:
    from conviction.models._spec import ModelSpec

_BOUNDS = (("ge", "≥"), ("gt", ">"), ("le", "≤"), ("lt", "<"))


def describe() -> str:
    """Return a Markdown section for every registered model, in the order of their names.

    Examples
    --------
    >>> describe().splitlines()[0]
    '### base_rate'
    """
    return "\n\n".join(_section(MODELS[name]) for name in sorted(MODELS)) + "\n"


def _section(spec: ModelSpec) -> str:
    can = spec.capabilities
    facts = [
        f"extra `{can.extra}`" if can.extra else "",
        "baseline" if can.baseline else "",
        "stops early on the inner block" if can.uses_inner else "",
        f"missing values: {can.missing}",
        "importances" if can.importance else "",
    ]
    first = (spec.parameters.__doc__ or "").strip().splitlines()[0]
    lines = [f"### {spec.name}", "", f"{first} ({', '.join(filter(None, facts))})"]
    ranges = {dimension.name: dimension for dimension in spec.search_space}
    rows = []
    for name, field in spec.parameters.model_fields.items():
        shown = field.alias or name
        searched = ranges.get(shown)
        text = "" if searched is None else f"{searched.low:g} to {searched.high:g}{', log' if searched.log else ''}"
        rows.append(f"| `{shown}` | {_show(field.default)} | {_bounds(field)} | {text} |")
    if rows:
        lines += ["", "| parameter | default | allowed | searched |", "|---|---|---|---|", *rows]
    return "\n".join(lines)


def _show(value: Any) -> str:
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _bounds(field: Any) -> str:
    found = [f"{sign} {getattr(one, name):g}" for one in field.metadata for name, sign in _BOUNDS if hasattr(one, name)]
    choices = [repr(value) for value in get_args(field.annotation) if isinstance(value, str)]
    optional = "or null" if type(None) in get_args(field.annotation) else ""
    kind = "true, false" if field.annotation is bool else ", ".join(choices or found) or "any name"
    return f"{kind} {optional}".strip()
