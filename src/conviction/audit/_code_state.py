"""What a function remembers between calls: found, reset before each call, and reported.

A function that fits a scaler on its first call and keeps it would look causal on cut data: the scaler already saw
everything. With its memory reset before each call, it cannot hide. Lists and whole numbers are left alone: they are how
callers count and record calls.
"""

from __future__ import annotations

import copy
import dis
import functools
import random
import types
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

_DEPTH: Final = 3
_FILLERS: Final = frozenset({"update", "setdefault", "add", "__setitem__"})
_PLAIN: Final = (str, bytes, int, float, complex, bool, type(None), tuple, frozenset, types.ModuleType, type)


@dataclass
class _Slot:
    """One remembered thing: where it is bound, and a copy of its first content."""

    owner: dict[str, Any] | types.CellType
    name: str
    value: Any
    content: Any
    first: tuple[Any, Any] = (None, None)

    def __post_init__(self) -> None:
        self.first = (self.content, self.value)

    @property
    def is_memory(self) -> bool:
        """Return whether its beginning was found to be nothing."""
        return self.content is not self.first[0] or self.value is not self.first[1]

    def current(self) -> Any:
        if isinstance(self.owner, types.CellType):
            return self.owner.cell_contents
        return self.owner.get(self.name)

    def restore(self) -> bool:
        """Put the first content back; return whether it had changed."""
        current = self.current()
        changed = current is not self.value and not (_is_count(current) and _is_count(self.value))
        if changed:
            if isinstance(self.owner, types.CellType):
                self.owner.cell_contents = self.value
            else:
                self.owner[self.name] = self.value
        return _restore_content(self.value, self.content) or changed


def _is_filled(value: Any) -> bool:
    return bool(value) if isinstance(value, (dict, set)) else True


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _content(value: Any) -> Any:
    try:
        if isinstance(value, (dict, set)):
            return copy.deepcopy(value)
        if hasattr(value, "__dict__") and not isinstance(value, (*_PLAIN, types.FunctionType)) and not _is_data(value):
            return copy.deepcopy(value.__dict__)
    except Exception:  # noqa: BLE001 (whatever cannot be copied cannot be reset; the repeated calls still see it)
        return None
    return None


def _restore_content(value: Any, content: Any) -> bool:
    if content is None:
        return False
    target = value if isinstance(value, (dict, set)) else value.__dict__
    if _same(target, content):
        return False
    fresh = copy.deepcopy(content)
    if isinstance(target, dict):
        fresh |= {k: v for k, v in target.items() if k in fresh and _is_count(v) and _is_count(fresh[k])}
        if _same(target, fresh):
            return False
    target.clear()
    target.update(fresh)
    return True


def _same(a: Any, b: Any) -> bool:
    try:
        if len(a) != len(b):
            return False
        return (
            repr(a) == repr(b) if isinstance(a, (list, set)) else all(k in b and _equal(v, b[k]) for k, v in a.items())
        )
    except Exception:  # noqa: BLE001 (objects that cannot be compared count as changed)
        return False


def _equal(a: Any, b: Any) -> bool:
    if isinstance(a, np.ndarray) or isinstance(b, np.ndarray):
        return np.array_equal(np.asarray(a), np.asarray(b))
    if isinstance(a, (int, float, str, bool, type(None))):
        return bool(a == b) or (a != a and b != b)  # noqa: PLR0124 (NaN)
    return repr(a) == repr(b)


def _is_data(value: Any) -> bool:
    return type(value).__module__.split(".")[0] in ("pandas", "polars", "numpy", "pyarrow")


def _is_large(value: Any) -> bool:
    """Return whether something could hold a column of data: arrays, frames and collections of 200 items or more."""
    shape = getattr(value, "shape", None) if _is_data(value) else None
    if isinstance(shape, tuple):
        return bool(shape) and int(np.prod([int(side) for side in shape])) >= 200
    return isinstance(value, (dict, list, tuple)) and len(value) >= 200


@dataclass
class StateGuard:
    """The mutable things a function can reach, reset before each call.

    Parameters
    ----------
    function : callable
        The audited function, a bound method, a partial or a callable object.
    """

    function: Any
    slots: list[_Slot] = field(default_factory=list)
    captured: list[str] = field(default_factory=list)
    caches: list[Any] = field(default_factory=list)
    stored: set[str] = field(default_factory=set)
    written: set[str] = field(default_factory=set)
    changed: set[str] = field(default_factory=set)
    _seen: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._visit(self.function, _DEPTH)

    def reset(self) -> None:
        """Bring everything reachable back to its first content."""
        for slot in self.slots:
            if slot.restore():
                self.changed.add(slot.name)
        for cache in self.caches:
            cache.cache_clear()

    def forget(self, attempt: Callable[[], bool]) -> None:
        """Empty what an earlier call seems to have left, so that the audit begins with a function that knows nothing.

        Parameters
        ----------
        attempt : callable
            Calls the function; returns whether it gave an answer. A collection is memory when the function fills it
            again, a name when the function binds it again; whatever it cannot do without is put back.
        """
        for slot in self.slots:
            content, value = slot.content, slot.value
            if not self._empty(slot):
                continue
            slot.restore()
            if not (attempt() and slot.current() is not None and _is_filled(slot.current())):
                slot.content, slot.value = content, value
                slot.restore()
        self.changed.clear()
        memory = {slot.name for slot in self.slots if slot.is_memory}
        self.captured = [name for name in self.captured if name not in memory]

    def _empty(self, slot: _Slot) -> bool:
        """Make the slot's first content nothing, where that may be what it was before the function was ever called."""
        if isinstance(slot.value, (dict, set)) and slot.value and slot.content is not None:
            counts = isinstance(slot.value, dict) and all(_is_count(value) for value in slot.value.values())
            if counts or slot.name not in self.written:
                return False
            slot.content = type(slot.content)()
            return True
        if slot.name in self.stored and slot.value is not None and not _is_count(slot.value):
            slot.value, slot.content = None, None
            return True
        return False

    def restore(self) -> None:
        """Leave everything reachable as it was before the audit."""
        for slot in self.slots:
            slot.content, slot.value = slot.first
            slot.restore()

    def _visit(self, thing: Any, depth: int) -> None:
        if depth == 0 or id(thing) in self._seen:
            return
        self._seen.add(id(thing))
        if isinstance(thing, functools.partial):
            self._visit(thing.func, depth)
            return
        if hasattr(thing, "cache_clear"):
            self.caches.append(thing)
        if isinstance(thing, types.MethodType):
            self._visit(thing.__func__, depth)
            thing = thing.__self__
        wrapped = getattr(thing, "__wrapped__", None)
        if wrapped is not None:
            self._visit(wrapped, depth)
        if isinstance(thing, types.FunctionType):
            self._function(thing, depth)
        elif hasattr(thing, "__dict__") and not isinstance(thing, (*_PLAIN, types.BuiltinFunctionType)):
            for name in list(vars(thing)):
                self._bind(vars(thing), name, depth)
            call = vars(type(thing)).get("__call__")
            if isinstance(call, types.FunctionType):
                self._function(call, depth)

    def _function(self, function: types.FunctionType, depth: int) -> None:
        self.stored |= _stored(function.__code__)
        if _writes(function.__code__):
            self.written |= {*_names(function.__code__), *function.__code__.co_freevars, *function.__dict__}
            self.written |= {
                f"default {i}" for i in range(len(function.__defaults__ or ()) + len(function.__kwdefaults__ or ()))
            }
        for name in _names(function.__code__):
            if name in function.__globals__:
                self._bind(function.__globals__, name, depth)
        for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
            try:
                value = cell.cell_contents
            except ValueError:
                continue
            self._keep(cell, name, value, depth)
        for name in list(function.__dict__):
            self._bind(function.__dict__, name, depth)
        for index, value in enumerate([*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()]):
            self._keep({f"default {index}": value}, f"default {index}", value, depth)

    def _bind(self, owner: dict[str, Any], name: str, depth: int) -> None:
        self._keep(owner, name, owner[name], depth)

    def _keep(self, owner: dict[str, Any] | types.CellType, name: str, value: Any, depth: int) -> None:
        if isinstance(value, (types.ModuleType, type, types.BuiltinFunctionType)):
            return
        if isinstance(value, (types.FunctionType, types.MethodType, functools.partial)) or hasattr(
            value, "cache_clear"
        ):
            self._visit(value, depth - 1)
            return
        if _is_large(value):
            self.captured.append(name)
        self.slots.append(_Slot(owner, name, value, _content(value)))


def _names(code: types.CodeType) -> set[str]:
    names = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            names |= _names(constant)
    return names


def _writes(code: types.CodeType) -> bool:
    """Return whether a function puts items into some collection."""
    if _FILLERS & set(code.co_names) or any(step.opname == "STORE_SUBSCR" for step in dis.get_instructions(code)):
        return True
    return any(_writes(constant) for constant in code.co_consts if isinstance(constant, types.CodeType))


def _stored(code: types.CodeType) -> set[str]:
    """Return the names outside itself that a function binds: globals, names of the enclosing function, attributes."""
    outside = ("STORE_GLOBAL", "STORE_ATTR")
    stored = {step.argval for step in dis.get_instructions(code) if step.opname in outside}
    stored |= {
        step.argval
        for step in dis.get_instructions(code)
        if step.opname == "STORE_DEREF" and step.argval in code.co_freevars
    }
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            stored |= _stored(constant)
    return stored


@dataclass
class RandomGuard:
    """Seeds the global generators differently for each call, and gives the caller's state back."""

    calls: int = 0
    numpy_state: Any = field(default_factory=np.random.get_state)
    python_state: Any = field(default_factory=random.getstate)

    def next(self) -> None:
        """Seed for the next call: an unseeded function then differs between calls, in the same way in each audit."""
        self.calls += 1
        np.random.seed(self.calls)  # noqa: NPY002
        random.seed(self.calls)

    def restore(self) -> None:
        """Give the caller's generators back as they were."""
        np.random.set_state(self.numpy_state)  # noqa: NPY002
        random.setstate(self.python_state)
