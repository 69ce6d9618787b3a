"""Tables for cards and pages."""

import pytest
from score_files import calibration, classical_lines, comparison_line, likelihoods, prior_lines, steps, write

from tfrecon.report import steps_and_quality
from tfrecon.report.comparison import Row
from tfrecon.report.tables import (
    calibration_table,
    comparison_table,
    likelihood_table,
    read_calibration,
    read_likelihood,
)
from tfrecon.util.errors import InputError


def rows_of(*lines):
    return [Row.from_json(line) for line in lines]


def test_methods_by_masks():
    rows = rows_of(*classical_lines(), *prior_lines(), *prior_lines("twin", (1.0, 2.0), None))
    over = [("prior", "classical"), ("twin", "prior")]
    table = comparison_table(rows, {"prior": "**the prior**"}, over, intervals=False)
    assert table.splitlines() == [
        "| | lines, R = 4 | points, R = 8 | network calls | seconds |",
        "|---|---|---|---:|---:|",
        "| zero-filled | 28.00 / 0.900 / 0.0123 | 27.00 / 0.900 / 0.0123 | – | 0.12 |",
        "| TV | 33.00 / 0.900 / 0.0123 | 30.00 / 0.900 / 0.0123 | – | 0.12 |",
        "| L1-wavelet | 32.00 / 0.900 / 0.0123 | 31.00 / 0.900 / 0.0123 | – | 0.12 |",
        "| **the prior** | 34.50 / 0.900 / 0.0123 | 33.00 / 0.900 / 0.0123 | 200 | 0.12 |",
        "| twin | 34.00 / 0.900 / 0.0123 | 33.00 / 0.900 / 0.0123 | – | 0.12 |",
        "| prior over the best classical, dB | +1.50 | +2.00 | | |",
        "| twin over prior, dB | -0.50 | +0.00 | | |",
    ]
    table = comparison_table(rows)
    assert "| prior over the best classical, dB | +1.50 [+1.30, +1.70] | +2.00 [+1.80, +2.20] | | |" in table
    assert table.count("twin over the best classical") == 1


def test_columns_that_say_nothing_are_left_out():
    table = comparison_table(rows_of(*classical_lines()), times=False)
    assert table.splitlines()[0] == "| | lines, R = 4 | points, R = 8 |" and "over" not in table
    assert "over" not in comparison_table(rows_of(*prior_lines()))


def test_parameters_are_rounded():
    sizes = {"prior": 1_371_746, "twin": 52_300}
    lines = [comparison_line(name, 31.0, parameters=count) for name, count in sizes.items()]
    table = comparison_table(rows_of(comparison_line("tv", 30.0), *lines), times=False).splitlines()
    assert table[0].endswith("| parameters |")
    assert [line.split("|")[-2].strip() for line in table[2:5]] == ["–", "1.4 M", "52 k"]


def test_gaps_and_masks_of_one_name():
    masks = ("gaussian1d:4:20", "gaussian1d:4:10")
    lines = [comparison_line("tv", 30.0, mask) for mask in masks]
    table = comparison_table(rows_of(*lines, comparison_line("prior", 31.0, masks[0], 50)), times=False)
    assert table.splitlines()[0] == "| | gaussian1d:4:20 | gaussian1d:4:10 | network calls |"
    assert "| prior | 31.00 / 0.900 / 0.0123 | – | 50 |" in table
    assert "| prior over the best classical, dB | +1.00 [+1.00, +1.00] | – | |" in table


def test_unknown_methods_are_named():
    rows = rows_of(*classical_lines())
    with pytest.raises(InputError, match="no method 'prior' was measured; there are zero_filled, tv"):
        comparison_table(rows, {"prior": "the prior"})
    with pytest.raises(InputError, match="no method 'prior'"):
        comparison_table(rows, over=[("tv", "prior")])
    with pytest.raises(InputError, match="no methods were measured"):
        comparison_table([])


def test_calibrations(tmp_path):
    scale = {"factor": 1.23456, "fitted_on": {"images": 7, "input": "validation"}}
    found = {
        "as sampled": read_calibration(write(tmp_path / "a.json", calibration())),
        "scaled": calibration(scale, std=None, warnings=["this is no test of it"]),
    }
    assert calibration_table(found).splitlines() == [
        "| | images | 50 % | 90 % | 90 %, mean of images | width of 90 % | scale |",
        "|---|---:|---:|---:|---:|---:|---:|",
        "| as sampled | 10 | 45.7 % | 89.1 % | 90.0 ± 2.0 % | 12.3 % | 1 |",
        "| scaled | 10 | 45.7 % | 89.1 % | 90.0 % | 12.3 % | 1.235, fitted on 7 images |",
        "",
        "- scaled: this is no test of it",
    ]
    with pytest.raises(InputError, match="other nominal levels"):
        calibration_table({"a": calibration(), "b": calibration() | {"levels": [0.5, 0.95]}})


def test_likelihoods(tmp_path):
    found = {
        "test": read_likelihood(write(tmp_path / "a.json", likelihoods())),
        "one": likelihoods((2.5,), round_trip=None),
    }
    assert likelihood_table(found).splitlines() == [
        "| | images | bits/dim | network calls | error of the round trip |",
        "|---|---:|---:|---:|---:|",
        "| test | 2 | 2.500 ± 0.707 | 100 | 1.0e-03 |",
        "| one | 1 | 2.500 | 100 | – |",
    ]


def test_steps_are_read_without_what_was_stopped(tmp_path):
    rows = steps_and_quality.read_rows(write(tmp_path / "steps.json", steps()))
    assert [(row.curve, row.nfe, row.psnr, row.slices) for row in rows] == [("dds", 20, 34.0, 2), ("pc", 2000, 34.1, 2)]
    assert "100 × fewer" in steps_and_quality.comparisons(rows, "pc", 0.2)[0]


@pytest.mark.parametrize(
    ("read", "content", "said"),
    [
        (read_calibration, likelihoods(), "holds no calibration"),
        (read_likelihood, calibration(), "holds no likelihoods"),
        (read_likelihood, likelihoods(()), "holds no images"),
        (steps_and_quality.read_rows, likelihoods(), "no file of steps and quality"),
        (steps_and_quality.read_rows, {"about": {}, "runs": []}, "holds no results"),
    ],
)
def test_what_are_other_files(tmp_path, read, content, said):
    path = write(tmp_path / "a.json", content)
    with pytest.raises(InputError, match=said) as raised:
        read(path)
    assert str(path) in str(raised.value)
