"""Quality against network calls: what is measured once stays, comparisons, and what is refused before any work."""

import dataclasses
import json

import numpy as np
import pytest

from tfrecon.data.synthetic import ellipse_phantom, simulate_acquisition
from tfrecon.report.figures import save_figure
from tfrecon.report.steps_and_quality import Curve, Measured, Row, comparisons, figure, measure, parse_curve, table
from tfrecon.typing import Reconstruction
from tfrecon.util.errors import InputError

MASKS = ("gaussian1d:2:6", "gaussian1d:3:4")
CURVES = (parse_curve("dds:10,5"), parse_curve("pc:40:snr=0.1"))
ABOUT = {"weights": "0123", "seed": 0}


class Model:
    """A stand-in whose error is 1 / nfe, and which remembers what it was asked for.

    Args:
        stop_after: so many slices, as an interrupted run.
    """

    def __init__(self, records, stop_after=None):
        self.truth = {record.record_id: record.reference for record in records}
        self.calls, self.stop_after = [], stop_after

    def resolve(self, options):
        if options["sampler"] not in ("dds", "pc"):
            raise InputError(f"no sampler {options['sampler']!r}")

    def reconstructor(self, options, *, seed=0):
        def reconstruct(measurement, *, series, key):
            if len(self.calls) == self.stop_after:
                raise KeyboardInterrupt
            assert measurement.kspace.shape == (1, 32, 24) and not series
            self.calls.append((options["sampler"], options["nfe"], options.get("snr"), key, seed))
            noise = np.random.default_rng(0).normal(size=(32, 24)) / options["nfe"]
            return Reconstruction(self.truth[key] * (1 + noise))

        return reconstruct


@pytest.fixture(scope="module")
def records():
    return [
        simulate_acquisition(ellipse_phantom((32, 24), seed=k), record_id=f"v/{k}", volume_id="v", coils=1)
        for k in range(2)
    ]


def test_curves_are_words():
    assert parse_curve("dds:50,10,10") == Curve("dds", "dds", (10, 50))
    curve = parse_curve("pc:2000:snr=0.1:data_step=proximal")
    assert curve == Curve("pc snr=0.1 data_step=proximal", "pc", (2000,), (("snr", "0.1"), ("data_step", "proximal")))
    assert curve.at(20) == {"sampler": "pc", "nfe": 20, "snr": "0.1", "data_step": "proximal"}
    for wrong in ("dds", "dds:", "dds:ten", "dds:10:snr", "dds:10,:snr=1", ":10", "dds:10:nfe=3", "dds:-5"):
        with pytest.raises(InputError, match="write pc:100"):
            parse_curve(wrong)
    with pytest.raises(InputError, match="budget of 0"):
        parse_curve("dds:0,5")


def test_every_mask_sampler_and_budget_is_measured_once(records, tmp_path):
    path, model = tmp_path / "steps.json", Model(records)
    rows = measure(model, records, MASKS, CURVES, Measured(path, ABOUT), seed=3)
    assert [(row.mask, row.curve, row.nfe) for row in rows] == [
        (mask, *of) for mask in MASKS for of in (("dds", 5), ("dds", 10), ("pc snr=0.1", 40))
    ]
    assert len(model.calls) == 12 and {call[4] for call in model.calls} == {3}
    assert {call[2] for call in model.calls if call[0] == "pc"} == {"0.1"}
    for mask in MASKS:
        psnr = {row.nfe: row.psnr for row in rows if row.mask == mask}
        assert psnr[10] - psnr[5] == pytest.approx(6, abs=1) and psnr[40] - psnr[10] == pytest.approx(12, abs=1)
    assert all(row.slices == 2 and row.seconds > 0 and row.nmse > 0 and row.ssim <= 1 for row in rows)
    assert rows[0].acceleration == pytest.approx(2, rel=0.1) and rows[-1].acceleration == pytest.approx(3, rel=0.1)
    again = Model(records)
    assert measure(again, records, MASKS, CURVES, Measured(path, ABOUT), seed=3) == rows and again.calls == []
    found = json.loads(path.read_text())["runs"][0]["slices"]
    assert [one["compiled"] for one in found.values()] == [True, False]


def test_a_stopped_run_goes_on(records, tmp_path):
    path, model = tmp_path / "steps.json", Model(records, stop_after=5)
    with pytest.raises(KeyboardInterrupt):
        measure(model, records, MASKS[:1], CURVES, Measured(path, ABOUT))
    assert len(model.calls) == 5
    assert len(Measured(path, ABOUT).rows(MASKS[:1], CURVES, [r.record_id for r in records])) == 2
    rest = Model(records)
    rows = measure(rest, records, MASKS[:1], CURVES, Measured(path, ABOUT))
    assert len(rest.calls) == 1 and len(rows) == 3
    whole = measure(Model(records), records, MASKS[:1], CURVES, Measured(tmp_path / "other.json", ABOUT))
    assert [dataclasses.replace(row, seconds=0) for row in rows] == [
        dataclasses.replace(row, seconds=0) for row in whole
    ]


def test_what_else_was_measured_is_not_mixed_in(records, tmp_path):
    path = tmp_path / "steps.json"
    measure(Model(records), records, MASKS[:1], CURVES[:1], Measured(path, ABOUT))
    with pytest.raises(InputError, match="was measured with another weights"):
        Measured(path, {**ABOUT, "weights": "4567"})
    path.write_text("[]")
    with pytest.raises(InputError, match="no file of steps and quality"):
        Measured(path, ABOUT)


def test_bad_input_is_said_before_any_work(records, tmp_path):
    def run(records, masks=MASKS, curves=CURVES):
        model = Model([])
        with pytest.raises(InputError) as error:
            measure(model, records, masks, curves, Measured(tmp_path / "none.json", ABOUT))
        assert model.calls == [] and not (tmp_path / "none.json").exists()
        return str(error.value)

    assert "no records" in run([])
    assert "v/1" in run([records[0], dataclasses.replace(records[1], reference=None)])
    assert "not KIND:ACCELERATION:ACS_LINES" in run(records, ("gaussian1d",))
    assert "no sampler 'ddx'" in run(records, curves=(*CURVES, parse_curve("ddx:5")))


def row(curve, nfe, psnr, mask="m"):
    return Row(mask, 4.0, curve, nfe, psnr, 0.9, 0.01, 2.0, 3)


def test_comparisons():
    rows = [
        row("pc", 100, 28.0),
        row("pc", 2000, 31.0),
        *(row("dds", nfe, psnr) for nfe, psnr in ((10, 30.1), (20, 30.8), (50, 31.5))),
        *(row("dps", nfe, psnr) for nfe, psnr in ((100, 29.0), (500, 28.5))),
        row("dds", 10, 20.0, "other"),
    ]
    lines = comparisons(rows, "pc", 0.2)
    assert lines == [
        "m: dds with 20 calls (30.80 dB) is within 0.2 dB of pc with 2000 calls (31.00 dB): 100 × fewer",
        "m: dps stays 2.00 dB below pc with 2000 calls (31.00 dB), nearest with 100 calls",
        "other: nothing was measured of pc",
    ]


def test_table_and_figure(tmp_path):
    rows = [row(curve, nfe, 30.0, mask) for mask in ("a", "b") for curve in ("dds", "pc") for nfe in (10, 100)]
    lines = table(rows, 3).splitlines()
    assert lines[0].startswith("Means over 3 records")
    assert lines[-1] == "| b | 4.00 | pc | 100 | 30.00 | 0.9000 | 0.01000 | 2.00 | 20.0 |"
    assert sum(line.startswith("|") for line in lines) == len(rows) + 2
    drawn = figure(rows)
    assert len(drawn.axes) == 4 and drawn.axes[0].get_xscale() == drawn.axes[2].get_yscale() == "log"
    for name in ("steps.svg", "steps.png"):
        save_figure(drawn, tmp_path / name)
        assert (tmp_path / name).stat().st_size > 1000
