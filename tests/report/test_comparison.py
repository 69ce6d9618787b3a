"""Lines of the table of methods: files, the best classical method, differences of pairs."""

import numpy as np
import pytest
from score_files import MASKS, classical_lines, comparison_line, prior_lines, write

from tfrecon.report.comparison import (
    CLASSICAL,
    Row,
    best_classical,
    difference,
    difference_text,
    find_row,
    over_classical,
    read_rows,
    with_differences,
)
from tfrecon.util.errors import InputError
from tfrecon.util.files import read_json, write_json


@pytest.fixture
def rows():
    return [Row.from_json(line) for line in (*classical_lines(), *prior_lines())]


def test_the_best_classical_method_is_that_of_the_mask(rows):
    assert [best_classical(rows, mask).method for mask in MASKS] == ["tv", "l1_wavelet"]
    assert best_classical(prior := [row for row in rows if not row.classical], MASKS[0]) is None
    assert {row.method for row in prior} == {"prior"}
    assert find_row(rows, MASKS[1], CLASSICAL).method == "l1_wavelet"
    assert find_row(rows, MASKS[1], "prior").psnr == 33.0 and find_row(rows, MASKS[1], "none") is None


def test_differences_are_of_slices(rows):
    method, found = over_classical(find_row(rows, MASKS[0], "prior"), rows)
    assert method == "tv" and (found.mean, found.count) == (pytest.approx(1.5), 2)
    assert (found.low, found.high) == (pytest.approx(1.3), pytest.approx(1.7))
    assert over_classical(rows[0], rows) is None and over_classical(rows[-1], rows[-1:]) is None
    assert difference_text(found) == "+1.50 [+1.30, +1.70]" and difference_text(found, intervals=False) == "+1.50"
    single = difference(*(Row.from_json(comparison_line("a", psnr, slices=[psnr])) for psnr in (30.0, 31.5)))
    assert difference_text(single) == "-1.50"


def test_only_the_same_records_are_compared():
    rows = [Row.from_json(comparison_line("a", 30.0, records=names)) for names in (["v/0", "v/1"], ["v/0", "v/2"], [])]
    with pytest.raises(InputError, match="'a' and 'a' were scored on different records"):
        difference(*rows[:2])
    assert difference(rows[0], rows[2]).mean == 0  # of files without record ids
    with pytest.raises(InputError, match="2 scores and 1 are no pairs"):
        difference(rows[0], Row.from_json(comparison_line("b", 30.0, slices=[30.0])))


def test_files_are_read_as_they_were_written(rows, tmp_path):
    write_json(tmp_path / "all.json", with_differences(rows))
    assert read_rows([tmp_path / "all.json"]) == rows
    content = read_json(tmp_path / "all.json")
    assert [line["over_classical"] and line["over_classical"]["method"] for line in content] == [
        *[None] * 6,
        "tv",
        "l1_wavelet",
    ]
    assert content[-1]["over_classical"]["psnr"]["mean"] == pytest.approx(2.0)


def test_one_slice_has_no_interval_in_the_file():
    lines = [comparison_line(method, psnr, slices=[psnr]) for method, psnr in (("tv", 30.0), ("prior", 31.0))]
    found = with_differences([Row.from_json(line) for line in lines])[-1]["over_classical"]["psnr"]
    assert found["mean"] == 1 and found["low"] is None and found["std"] is None


def test_several_files_are_one_table(tmp_path):
    first = write(tmp_path / "a.json", classical_lines())
    again = [line | {"seconds": 9.9} for line in classical_lines()]
    second = write(tmp_path / "b.json", [*again, *prior_lines()])
    rows = read_rows([first, second])
    assert [row.method for row in rows] == [line["method"] for line in (*classical_lines(), *prior_lines())]
    assert {row.seconds for row in rows} == {0.1234}  # of what was measured twice the first counts
    other = write(tmp_path / "c.json", [comparison_line("tv", 30.0)])
    with pytest.raises(InputError, match=r"c\.json.*'tv' with gaussian1d:4:20 has other scores"):
        read_rows([first, other])


def test_files_without_the_newer_columns_are_read(tmp_path):
    line = comparison_line("tv", 30.0)
    del line["calls"]
    (row,) = read_rows([write(tmp_path / "old.json", [line])])
    assert row.calls is None and row.records == () and row.slices == (29.0, 31.0)


@pytest.mark.parametrize("content", [{"about": 1}, [{"mask": "a"}], [1], ["a"], [[1, 2]], 3])
def test_what_is_no_table(tmp_path, content):
    with pytest.raises(InputError, match="is no table of methods"):
        read_rows([write(tmp_path / "a.json", content)])


def test_intervals_tell_more_slices_from_few():
    random = np.random.default_rng(0)
    widths = []
    for count in (10, 160):
        gains = 1 + random.standard_normal(count)
        pair = [Row.from_json(comparison_line("a", 30.0, slices=list(30 + part))) for part in (gains, 0 * gains)]
        found = difference(*pair)
        widths.append(found.high - found.low)
    assert 2 < widths[0] / widths[1] < 8
