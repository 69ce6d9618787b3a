"""What TensorBoard and the reader of log.txt will see."""

import errno
import struct

import numpy as np
import pytest
import tensorflow as tf

from tfrecon.train.logs import RunLog
from tfrecon.train.workdir import Workdir
from tfrecon.util.errors import InputError


def events(folder):
    """(tag, step, plugin, tensor) of each value in TensorBoard's files."""
    found = []
    for path in sorted((folder / "tb").iterdir()):
        for record in tf.data.TFRecordDataset(str(path)):
            event = tf.compat.v1.Event.FromString(record.numpy())
            found += [
                (value.tag, event.step, value.metadata.plugin_data.plugin_name, tf.make_ndarray(value.tensor))
                for value in event.summary.value
            ]
    return found


def test_scalars_and_images_are_written_as_tensorboard_reads_them(tmp_path):
    image = np.arange(60, dtype=np.uint8).reshape(5, 12)
    with RunLog(Workdir(tmp_path)) as log:
        log.training({"step": 3, "loss": 0.5, "skipped": 0})
        log.validated({"step": 4, "psnr": 31.5}, [("volume/000", image)])
    *scalars, (tag, step, plugin, parts) = events(tmp_path)
    assert [(t, s, p, float(v)) for t, s, p, v in scalars] == [
        ("train/loss", 3, "scalars", 0.5),
        ("train/skipped", 3, "scalars", 0.0),
        ("validation/psnr", 4, "scalars", 31.5),
    ]
    assert (tag, step, plugin) == ("validation/volume/000", 4, "images")
    width, height, png = parts
    assert (int(width), int(height)) == (12, 5) and struct.unpack(">II", png[16:24]) == (12, 5)
    np.testing.assert_array_equal(tf.io.decode_png(png)[..., 0], image)
    assert log.metrics.rows == [{"step": "3", "loss": "0.5", "skipped": "0"}]
    assert log.validation.rows == [{"step": "4", "psnr": "31.5"}]


def test_lines_are_appended_with_the_time_and_shown_by_the_chief_alone(tmp_path, capsys):
    with RunLog(Workdir(tmp_path)) as log:
        log.line("begins")
    with RunLog(Workdir(tmp_path)) as log:
        log.line("goes on")
    first, second = (tmp_path / "log.txt").read_text().splitlines()
    assert first.endswith(" begins") and second.endswith(" goes on") and first[:4].isdigit()
    assert capsys.readouterr().err.splitlines() == ["begins", "goes on"]
    (tmp_path / "other").mkdir()
    with RunLog(Workdir(tmp_path, tmp_path / "other")) as log:
        log.line("whispers")
    assert capsys.readouterr().err == "" and "whispers" in (tmp_path / "other" / "log.txt").read_text()


def test_a_full_disk_is_told(tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    with RunLog(Workdir(tmp_path)) as log, monkeypatch.context() as patch:
        patch.setattr("builtins.open", full)
        with pytest.raises(InputError, match=r"log\.txt: no space left"):
            log.line("x")


def test_a_full_disk_under_tensorboard_is_told_once(tmp_path, monkeypatch):
    log = RunLog(Workdir(tmp_path))

    def full():
        raise tf.errors.OutOfRangeError(None, None, "{{function_node x}} /tb/events; No space left on device\n\tFailed")

    with pytest.raises(InputError, match=r"tb: cannot be written \(No space left on device\)"), log:
        monkeypatch.setattr(log._events, "flush", full)
        monkeypatch.setattr(log._events, "close", full)
        log.training({"step": 1, "loss": 1.0})
    assert "ended by InputError" in (tmp_path / "log.txt").read_text()
