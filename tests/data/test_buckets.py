"""Which sizes share a batch, and what is said where none can."""

import numpy as np
import pytest

from tfrecon.data.buckets import (
    MOST_BUCKETS,
    ImageBuckets,
    describe_buckets,
    merge_coil_groups,
    offset_in_bucket,
    plan_buckets,
)
from tfrecon.data.dataset_info import ShapeGroup
from tfrecon.util.errors import InputError


def group(height, width, coils=2, records=1, reference=None, **changes):
    shape = (coils, height, width)
    values = dict(kspace=shape, mask=(1, 1, width), maps=shape, reference_dtype="complex64", noise_std=True)
    return ShapeGroup(**{**values, "reference": reference or (height, width), "records": records, **changes})


def buckets(multiple, pixels, size_of="kspace"):
    return ImageBuckets(multiple, pixels, size_of, lambda batch: batch["reference"])


FASTMRI = [group(640, 320, 15, 10), group(640, 368, 15, 30), group(640, 372, 15, 40), group(640, 372, 4, 5)]


def test_sizes_are_rounded_up_and_batches_fill_an_area():
    found = plan_buckets(FASTMRI, buckets(32, 1_000_000))
    assert [(bucket.shape, bucket.batch_size, bucket.records) for bucket in found] == [
        ((640, 320), 4, 10),
        ((640, 384), 4, 75),
    ]
    assert [bucket.groups for bucket in found] == [(0,), (1, 2, 3)]
    for bucket in found:
        area = bucket.shape[0] * bucket.shape[1]
        assert bucket.batch_size * area <= 1_000_000 < (bucket.batch_size + 1) * area
    padding = 1 - (10 * 320 + 30 * 368 + 45 * 372) / (10 * 320 + 75 * 384)
    assert describe_buckets(found) == (
        "buckets: 640×320 in batches of 4 (10 records), 640×384 in batches of 4 (75 records); "
        f"{padding:.1%} of the pixels are padding"
    )


def test_references_may_be_smaller_than_kspace():
    groups = [group(640, 368, reference=(320, 320)), group(640, 372, reference=(320, 320))]
    (found,) = plan_buckets(groups, buckets(32, 500_000, "reference"))
    assert (found.shape, found.batch_size, found.image_pixels) == ((320, 320), 4, 2 * 320 * 320)


def test_batches_can_be_cut_for_devices():
    assert [b.batch_size for b in plan_buckets(FASTMRI, buckets(32, 1_700_000), batch_multiple=2)] == [8, 6]


@pytest.mark.parametrize("grid", [1, 4, 8])
def test_images_lie_on_the_networks_grid_as_alone(grid):
    for size in range(1, 50):
        alone = -(-size // grid) * grid
        own = (alone - size) // 2  # as `nets.patches.pad_to_multiple`
        for length in range(alone, 97, grid):
            before = offset_in_bucket(size, length, grid)
            assert before >= own and before + size <= length and (before - own) % grid == 0
            assert abs(2 * before + size - length) <= 2 * grid


def test_buckets_are_multiples_of_the_networks():
    with pytest.raises(InputError, match=r"data.buckets=20 is no multiple of 8, .*; set data.buckets=24"):
        plan_buckets(FASTMRI, ImageBuckets(20, 10**6, "kspace", max, grid=8))


@pytest.mark.parametrize(
    ("groups", "multiple", "pixels", "whole", "said"),
    [
        (FASTMRI, 32, 240_000, 1, r"no batch of 240000 pixels holds an image of 640×384; set .*to at least 245760"),
        (FASTMRI, 32, 480_000, 2, r"holds 2 images of 640×384; set data.pixels_per_batch to at least 491520"),
        (FASTMRI, 0, 480_000, 1, "a multiple, a number of pixels and a batch size of at least 1"),
        ([group(640, 8, reference=None, kspace=(3, 2, 640, 8))], 8, 10_000, 1, "holds series"),
        ([group(8, 8 * n) for n in range(1, 12)], 8, 10_000, 1, r"11 sizes fall into 11 buckets.*data.buckets=16,"),
    ],
)
def test_what_no_bucket_can_hold_is_said(groups, multiple, pixels, whole, said):
    with pytest.raises(InputError, match=f"^data/train: .*{said}"):
        plan_buckets(groups, buckets(multiple, pixels), whole, "data/train")


def test_the_advice_against_many_buckets_is_right():
    groups = [group(8, 8 * n) for n in range(1, 12)]
    assert len(plan_buckets(groups, buckets(16, 10_000))) == MOST_BUCKETS


def test_records_without_the_image_are_refused():
    lacking = [group(8, 8), ShapeGroup((1, 8, 8), (1, 1, 8), None, None, None, False, records=3)]
    with pytest.raises(InputError, match="3 records have no 'reference'"):
        plan_buckets(lacking, buckets(8, 100, "reference"))


def test_groups_that_differ_in_coils_alone_are_one():
    groups = [
        group(8, 8, 2),
        group(8, 8, 5, noise_std=False, calibration=(4, 4), label=3, records=7),
        group(8, 10, 2),
        group(8, 8, 2, maps=None),
        group(8, 8, 2, maps=(2, 2, 8, 8)),
        group(8, 8, 3, maps=(2, 3, 8, 8)),
        group(8, 8, 2, mask=(1, 8, 8)),
    ]
    np.testing.assert_array_equal(merge_coil_groups(groups), [0, 0, 1, 2, 3, 3, 4])
