"""A record made to order."""

import numpy as np
import pytest

from tfrecon.records import Record


@pytest.fixture
def make_record():
    def make(index=0, shape=(2, 8, 6), *, maps=False, reference=None, noise_std=None, volume="v", **changes):
        generator = np.random.default_rng(index)

        def noise(*size):
            return (generator.standard_normal(size) + 1j * generator.standard_normal(size)).astype(np.complex64)

        image = noise(*shape[:-3], *shape[-2:])
        image = np.abs(image) if reference is np.float32 else image
        record = Record(
            kspace=noise(*shape),
            mask=np.ones((1,) * (len(shape) - 1) + shape[-1:], np.uint8),
            record_id=f"{volume}/{index:03d}",
            volume_id=volume,
            slice_index=index,
            scale=1.5,
            maps=noise(*shape[-3:]).reshape((1,) * (len(shape) - 3) + shape[-3:]) if maps else None,
            reference=None if reference is None else image,
            noise_std=noise_std,
            attrs={"source": "made"},
        )
        for key, value in changes.items():
            setattr(record, key, value)
        return record

    return make


@pytest.fixture
def same():
    """Compares two records bit for bit."""

    def compare(one, two):
        for key in ("kspace", "mask", "maps", "reference"):
            a, b = getattr(one, key), getattr(two, key)
            assert (a is None) == (b is None), key
            if a is not None:
                assert a.dtype == b.dtype and a.shape == b.shape, key
                assert a.tobytes() == b.tobytes(), key
        for key in ("record_id", "volume_id", "slice_index", "scale", "noise_std", "attrs"):
            assert getattr(one, key) == getattr(two, key), key

    return compare
