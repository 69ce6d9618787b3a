import gzip
import io

import numpy as np
import pytest
from matplotlib import cbook

from tfrecon.data.readers.sample_head import sample_head
from tfrecon.util.errors import InputError


def test_head_is_upright_with_the_nose_to_the_left():
    head = sample_head()
    assert head.shape == (256, 256) and head.dtype == np.float32
    assert head.min() >= 0 and np.isfinite(head).all()
    tissue = head > 0.1 * head.max()
    rows = np.flatnonzero(tissue.any(axis=1))
    assert 0 < rows[0] < 40  # little air above the crown; the neck goes on to the bottom
    assert rows[-1] > 230
    # The brain is the bright mass of the upper half, the face juts out to the left below it.
    assert head[60:110, 60:180].mean() > 2 * head[200:250, 60:180].mean() > 0
    leftmost = [np.flatnonzero(row)[0] if row.any() else 256 for row in tissue]
    assert 100 < int(np.argmin(leftmost)) < 200
    assert min(leftmost) < 256 - np.flatnonzero(tissue.any(axis=0))[-1]


def test_compressed_stream_is_read_too(monkeypatch):
    plain = sample_head().astype("<u2").tobytes()
    monkeypatch.setattr(cbook, "get_sample_data", lambda name: io.BytesIO(gzip.compress(plain)))
    np.testing.assert_array_equal(sample_head().astype("<u2").tobytes(), plain)


def test_missing_or_short_file_is_one_clear_line(monkeypatch):
    def missing(name):
        raise FileNotFoundError(name)

    monkeypatch.setattr(cbook, "get_sample_data", missing)
    with pytest.raises(InputError, match="without its sample data"):
        sample_head()
    monkeypatch.setattr(cbook, "get_sample_data", lambda name: io.BytesIO(b"123"))
    with pytest.raises(InputError, match="holds 3 bytes"):
        sample_head()
