"""Settings as frozen dataclasses: made from dictionaries or words of a command line, and checked.

Every configuration and every set of options in tfrecon is a dataclass with defaults; what a user
writes is a dictionary, perhaps nested, perhaps of strings. This is the one place that turns the
second into the first, says which key or value is wrong, and names the key that was probably meant.
"""

from __future__ import annotations

import dataclasses
import difflib
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, TypeVar, Union

from tfrecon.util.errors import InputError

Settings = TypeVar("Settings")


def make_settings(settings_type: type[Settings], given: Mapping[str, Any], what: str, where: str = "") -> Settings:
    """An instance of a settings dataclass: its defaults with `given` on top.

    Strings are converted to the type of their field, whole numbers to floats, lists to tuples and
    dictionaries to nested settings; nothing else changes its type. Fields may be bool, int, float, str,
    `Literal`, `X | None`, `tuple[X, ...]`, dictionaries, or settings again.

    Args:
        settings_type: a dataclass whose fields have defaults.
        given: values by field name.
        what: what is configured, for messages: "method 'tv'", "config".
        where: the file the values are from, for messages.

    Raises:
        InputError: an unknown key (the nearest known one is named), a value of the wrong type, or
            whatever the dataclass itself refuses.
    """
    return _make(settings_type, given, what, where, "")


def from_dotted(given: Mapping[str, Any]) -> dict[str, Any]:
    """Keys with dots, such as "path.kind", as keys of nested dictionaries, on top of what these hold already."""
    nested = {key: value for key, value in given.items() if "." not in key}
    for key, value in given.items():
        group, dot, name = key.partition(".")
        if dot:
            inner = nested.get(group)
            nested[group] = from_dotted({**(inner if isinstance(inner, Mapping) else {}), name: value})
    return nested


def to_dotted(settings: Any) -> dict[str, Any]:
    """Settings as one flat dictionary whose keys have dots; `from_dotted` nests it again."""
    flat: dict[str, Any] = {}
    for field in dataclasses.fields(settings):
        value = getattr(settings, field.name)
        if dataclasses.is_dataclass(value):
            flat |= {f"{field.name}.{name}": inner for name, inner in to_dotted(value).items()}
        else:
            flat[field.name] = value
    return flat


def to_dictionary(settings: Any) -> dict[str, Any]:
    """Settings as nested dictionaries and lists that JSON can hold; `make_settings` reads them back."""
    values = {field.name: getattr(settings, field.name) for field in dataclasses.fields(settings)}
    return {key: _plain(value) for key, value in values.items()}


def describe_type(kind: Any) -> str:
    """A field's type in words: "int", "float or none", "one of 'skip', 'raise'"."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is Literal:
        return f"one of {', '.join(map(repr, arguments))}"
    if origin in (Union, types.UnionType):
        return " or ".join("none" if part is type(None) else describe_type(part) for part in arguments)
    if origin is tuple:
        return f"a list of {describe_type(arguments[0])}"
    return "a dictionary" if dataclasses.is_dataclass(kind) or origin is not None else kind.__name__


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return to_dictionary(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


def _make(settings_type: type[Settings], given: Mapping[str, Any], what: str, where: str, path: str) -> Settings:
    kinds = typing.get_type_hints(settings_type)
    known = [field.name for field in dataclasses.fields(settings_type)]
    required = [field.name for field in dataclasses.fields(settings_type) if _has_no_default(field)]
    for key in required:
        if key not in given:
            raise InputError(f"{what} lacks the key {path + key!r}", where, "give it")
    values = {}
    for key, value in given.items():
        if key not in known:
            raise InputError(f"{what} has no key {path + str(key)!r}", where, _advice(str(key), known, path))
        name = path + key
        values[key] = _Converter(what, where, name).convert(value, kinds[key])
    try:
        return settings_type(**values)
    except InputError as error:
        raise InputError(f"{what}: {error.what}", where or error.where, error.fix) from error


def _has_no_default(field: dataclasses.Field) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _advice(key: str, known: Sequence[str], path: str) -> str:
    near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
    if near:
        return f"did you mean {path + near[0]!r}?"
    return f"its keys are: {', '.join(known) or 'none'}"


class _Mismatch(Exception):
    """A value does not fit one of the alternatives of a field."""


@dataclasses.dataclass(frozen=True)
class _Converter:
    """Converts the value of one key."""

    what: str
    where: str
    name: str

    def convert(self, value: Any, kind: Any) -> Any:
        try:
            return self._to(value, kind)
        except _Mismatch:
            wanted = describe_type(kind)
            raise InputError(f"{self.what}: {self.name!r} is {wanted}, not {value!r}", self.where) from None

    def _to(self, value: Any, kind: Any) -> Any:
        origin, arguments = typing.get_origin(kind), typing.get_args(kind)
        if kind is Any:
            return value
        if origin in (Union, types.UnionType):
            return self._first(value, arguments)
        if origin is Literal:
            return _member(value, arguments)
        if origin is tuple:
            return tuple(self._items(value, arguments))
        if dataclasses.is_dataclass(kind):
            return self._nested(value, kind)
        if origin is not None:  # Mapping[str, Any] and the like
            if not isinstance(value, Mapping):
                raise _Mismatch
            return dict(value)
        return _scalar(value, kind)

    def _first(self, value: Any, alternatives: Sequence[Any]) -> Any:
        if value is None or value in ("none", "None"):
            if type(None) in alternatives:
                return None
            raise _Mismatch
        for kind in alternatives:
            if kind is type(None):
                continue
            try:
                return self._to(value, kind)
            except _Mismatch:
                continue
        raise _Mismatch

    def _items(self, value: Any, arguments: Sequence[Any]) -> Iterator[Any]:
        if isinstance(value, str):
            value = value.split(",") if value else []
        if not isinstance(value, list | tuple):
            raise _Mismatch
        if len(arguments) == 2 and arguments[1] is Ellipsis:
            arguments = [arguments[0]] * len(value)
        if len(arguments) != len(value):
            raise _Mismatch
        return (self._to(item, kind) for item, kind in zip(value, arguments, strict=True))

    def _nested(self, value: Any, kind: Any) -> Any:
        if isinstance(value, kind):
            return value
        if not isinstance(value, Mapping):
            raise _Mismatch
        return _make(kind, value, self.what, self.where, f"{self.name}.")


def _member(value: Any, members: Sequence[Any]) -> Any:
    for member in members:
        if value == member or (isinstance(value, str) and value == str(member)):
            return member
    raise _Mismatch


def _scalar(value: Any, kind: type) -> Any:
    if kind is bool:
        if isinstance(value, bool):
            return value
        if str(value).lower() in ("true", "false", "1", "0"):
            return str(value).lower() in ("true", "1")
        raise _Mismatch
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise _Mismatch
    if kind is str and not isinstance(value, str):
        raise _Mismatch
    if kind is int and isinstance(value, float):
        if value != int(value):
            raise _Mismatch
        return int(value)
    try:
        return kind(value)
    except ValueError:
        raise _Mismatch from None
