"""Groups of settings as keys with dots, the way a command line names them."""

import dataclasses

import pytest

from tfrecon.util.errors import InputError
from tfrecon.util.settings import from_dotted, make_settings, to_dictionary, to_dotted


@dataclasses.dataclass(frozen=True)
class Inner:
    size: int = 1
    names: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Outer:
    inner: Inner = dataclasses.field(default_factory=Inner)
    rate: float = 0.5


def test_dots_lie_on_top_of_what_a_group_holds():
    given = {"inner.size": "7", "inner": {"size": 3, "names": ["a"]}, "rate": 1}
    assert from_dotted(given) == {"inner": {"size": "7", "names": ["a"]}, "rate": 1}
    assert from_dotted({"a.b.c": 1, "a.d": 2}) == {"a": {"b": {"c": 1}, "d": 2}}
    made = make_settings(Outer, from_dotted(given), "settings")
    assert made == Outer(Inner(7, ("a",)), 1.0)
    assert to_dotted(made) == {"inner.size": 7, "inner.names": ("a",), "rate": 1.0}
    assert make_settings(Outer, from_dotted(to_dotted(made)), "settings") == made
    assert make_settings(Outer, from_dotted({**to_dictionary(made), "inner.names": ""}), "settings").inner.names == ()


@pytest.mark.parametrize(
    "given, said",
    [
        ({"inner.length": 1}, "no key 'inner.length'"),
        ({"outer.size": 1}, "no key 'outer'"),
        ({"rate.size": 1}, "'rate' is float"),
        ({"inner.size": "big"}, "'inner.size' is int, not 'big'"),
    ],
)
def test_wrong_keys_with_dots(given, said):
    with pytest.raises(InputError, match=said):
        make_settings(Outer, from_dotted(given), "settings")
