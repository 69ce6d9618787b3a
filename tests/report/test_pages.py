"""Generated parts of pages."""

import pytest

from tfrecon.report.pages import markdown_table, replace_marked
from tfrecon.util.errors import InputError


def marks(name):
    return f"<!-- generated {name} -->", f"<!-- end of generated {name} -->"


def test_what_stands_between_the_marks_is_replaced(tmp_path):
    page, (start, end), (other, its_end) = tmp_path / "page.md", marks("table"), marks("one coil")
    page.write_text(f"before\n{start}\nold\n{end}\nbetween\n{other}\n{its_end}\nafter\n")
    for text in ("first", "1.7 dB × 2\n\nand more"):
        replace_marked(page, text)
    replace_marked(page, "| a |", "one coil")
    assert page.read_text() == (
        f"before\n{start}\n\n1.7 dB × 2\n\nand more\n\n{end}\nbetween\n{other}\n\n| a |\n\n{its_end}\nafter\n"
    )


@pytest.mark.parametrize(
    "text",
    [
        "no marks",
        "{start} and no end",
        "{end} before {start}",
        "{start} once {end}, {start} twice {end}",
        "{start} once {end} {end}",
    ],
)
def test_a_page_without_one_place_stays_as_it_is(tmp_path, text):
    page, (start, end) = tmp_path / "page.md", marks("table")
    text = text.format(start=start, end=end)
    page.write_text(text)
    with pytest.raises(InputError, match="has no one place for the table"):
        replace_marked(page, "new")
    assert page.read_text() == text
    with pytest.raises(InputError, match="no such page"):
        replace_marked(tmp_path / "none.md", "new")


def test_numbers_are_aligned_to_the_right():
    lines = markdown_table(["", "what", "calls"], [["a", "b", "1"], ["c", "d", "20"]], left=2).splitlines()
    assert lines == ["| | what | calls |", "|---|---|---:|", "| a | b | 1 |", "| c | d | 20 |"]
