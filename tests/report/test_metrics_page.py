"""The numbers of docs/metrics.md come from the code beside them, and stay so."""

import contextlib
import io
import pathlib
import re

from tfrecon.metrics import conventions

PAGE = pathlib.Path(__file__).parents[2] / "docs" / "metrics.md"


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.S | re.M)


def test_the_example_prints_what_the_page_shows():
    (code,) = (block for block in blocks("python") if "get_sample_data" in block)
    (expected,) = (block for block in blocks("") if block.startswith("as it is"))
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(code, str(PAGE), "exec"), {})
    assert printed.getvalue() == expected


def test_the_example_of_a_new_convention_registers(monkeypatch):
    monkeypatch.setattr(conventions, "_REGISTRY", dict(conventions._REGISTRY))
    (code,) = (block for block in blocks("python") if "register_convention(" in block)
    exec(compile(code, str(PAGE), "exec"), {})
    assert conventions.get_convention("own_maximum").describe()["data_range"] == "1"


def test_every_convention_is_on_the_page():
    text = PAGE.read_text(encoding="utf-8")
    assert all(f"`{name}`" in text for name in conventions.convention_names())
