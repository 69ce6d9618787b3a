"""Means over steps go on where they were, and CSV files forget the steps that will be made again."""

import errno
import json
import math

import numpy as np
import pytest

from tfrecon.train.csv_log import CsvLog, StepMeans, read_rows
from tfrecon.train.result import StepResult
from tfrecon.util.errors import InputError

pytestmark = pytest.mark.mathematics


def result(loss, finite=True, rate=0.1, **logs):
    return StepResult(
        np.float32(loss), logs, np.float32(2 * loss), np.float32(rate), np.bool_(finite), np.array([finite]), -1
    )


def test_means_are_over_finite_steps_and_the_rate_is_the_last():
    means = StepMeans()
    means.add(result(1.0, t=np.float32([0.0, 1.0]), a=np.float32(3)))
    means.add(result(math.nan, finite=False, rate=0.2, t=np.float32([math.nan, 1.0]), a=np.float32(1)))
    means.add(result(2.0, rate=0.3, t=np.float32([0.5, 0.7]), a=np.float32(4)))
    row = means.take()
    assert list(row) == ["loss", "gradient_norm", "a", "t", "learning_rate"]
    assert row["loss"] == 1.5 and row["gradient_norm"] == 3.0 and row["a"] == 3.5
    np.testing.assert_allclose([row["t"], row["learning_rate"]], [0.55, 0.3], rtol=1e-6)


def test_without_a_finite_step_the_means_are_undefined_but_there():
    means = StepMeans()
    means.add(result(math.inf, finite=False))
    row = means.take()
    assert math.isnan(row["loss"]) and row["learning_rate"] == pytest.approx(0.1)
    assert means.take() == {}, "begun anew"


def test_unfinished_means_survive_json_bit_for_bit():
    losses = np.random.default_rng(0).standard_normal(9)
    whole, first = StepMeans(), StepMeans()
    for loss in losses[:4]:
        first.add(result(loss))
    second = StepMeans(json.loads(json.dumps(first.to_json())))
    for number, loss in enumerate(losses):
        whole.add(result(loss))
        if number >= 4:
            second.add(result(loss))
    assert second.take() == whole.take()


def test_rows_of_later_steps_and_unfinished_lines_are_forgotten(tmp_path):
    path = tmp_path / "log.csv"
    log = CsvLog(path)
    for step in (5, 10, 15):
        log.write({"step": step, "loss": step / 3})
    path.write_text(path.read_text() + "20,0.12")
    again = CsvLog(path, 10)
    assert [row["step"] for row in read_rows(path)] == ["5", "10"]
    again.write({"step": 15, "loss": 0.5})
    assert path.read_text().splitlines() == ["step,loss", f"5,{5 / 3}", f"10,{10 / 3}", "15,0.5"]
    assert [float(row["loss"]) for row in again.rows] == [5 / 3, 10 / 3, 0.5]


def test_new_columns_make_room_for_themselves(tmp_path):
    log = CsvLog(tmp_path / "log.csv")
    log.write({"step": 1, "loss": 2.0})
    log.write({"step": 2, "loss": 1.0, "psnr": 30.0})
    log.write({"step": 3, "loss": 0.5})
    assert (tmp_path / "log.csv").read_text().splitlines() == ["step,loss,psnr", "1,2.0,", "2,1.0,30.0", "3,0.5,"]


def test_a_source_is_read_and_left_alone(tmp_path):
    CsvLog(tmp_path / "a.csv").write({"step": 1, "loss": 2.0})
    CsvLog(tmp_path / "b.csv", 1, tmp_path / "a.csv").write({"step": 2, "loss": 1.0})
    assert len(read_rows(tmp_path / "a.csv")) == 1 and len(read_rows(tmp_path / "b.csv")) == 2
    assert read_rows(tmp_path / "none.csv") == []


def test_a_full_disk_is_told(tmp_path, monkeypatch):
    log = CsvLog(tmp_path / "log.csv")
    log.write({"step": 1})

    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("builtins.open", full)
    with pytest.raises(InputError, match=r"log\.csv: no space left"):
        log.write({"step": 2})
