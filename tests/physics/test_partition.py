"""Splits of a mask into what the method sees and what its loss is taken on."""

import keras
import numpy as np
import pytest
from keras import ops

from tfrecon.physics.masks import make_mask
from tfrecon.physics.partition import Partition, PartitionRule, hermitian_partner, partition
from tfrecon.util import rng
from tfrecon.util.errors import InputError
from tfrecon.util.shapes import centre_slices

pytestmark = pytest.mark.mathematics


def points(shape=(24, 30), batch=3, rate=3, acs=6):
    return np.stack(
        [make_mask("gaussian2d", shape, rate, acs_lines=acs, std=0.4, seed=seed).array for seed in range(batch)]
    ).astype(np.float32)


def lines(width=48, batch=3):
    return np.stack(
        [make_mask("uniform1d", (16, width), 3 + n % 2, acs_lines=6, seed=n).array for n in range(batch)]
    ).astype(np.float32)


def split(mask, rule=None, seed=0, **options):
    result = partition(mask, rng.make_seed(seed, purpose="partition"), rule, **options)
    assert isinstance(result, Partition)
    return tuple(ops.convert_to_numpy(part) for part in result)


def mirror(array):
    """Index i to 2·(n//2) - i, by numpy loops."""
    out = np.empty_like(array)
    height, width = array.shape[-2:]
    for y in range(height):
        for x in range(width):
            out[..., y, x] = array[..., (2 * (height // 2) - y) % height, (2 * (width // 2) - x) % width]
    return out


def counts(array):
    return array.sum(axis=(-3, -2, -1))


def wanted(eligible, ratio):
    return np.round(np.float32(ratio) * counts(eligible).astype(np.float32))


def unprotected(mask, acs):
    mask = mask.copy()
    mask[(..., *centre_slices(mask.shape[-2:], acs))] = 0
    return mask


@pytest.mark.parametrize("shape", [(24, 30), (23, 31)])
@pytest.mark.parametrize("selection", ["uniform", "gaussian"])
@pytest.mark.parametrize("ratio", [0.05, 0.4, 0.9])
def test_counts_are_exact_and_the_parts_make_the_whole(shape, selection, ratio):
    mask = points(shape)
    mask[1] = make_mask("poisson", shape, 5, acs_lines=6).array  # another number of samples in the same batch
    theta, held = split(mask, PartitionRule(ratio=ratio, selection=selection))
    assert theta.dtype == held.dtype == np.float32
    assert theta.shape == held.shape == mask.shape
    assert (theta + held == mask).all() and (theta * held == 0).all()
    assert (counts(held) == wanted(unprotected(mask, (4, 4)), ratio)).all()


@pytest.mark.parametrize("acs", [0, 1, 4, (3, 8)])
def test_the_protected_block_stays_in_the_input(acs):
    mask = np.ones((2, 1, 20, 21), np.float32)
    theta, held = split(mask, PartitionRule(ratio=0.9, acs=acs))
    size = acs if isinstance(acs, tuple) else (acs, acs)
    assert theta[(..., *centre_slices((20, 21), size))].all()
    assert (counts(held) == np.round(0.9 * (420 - size[0] * size[1]))).all()


def test_splits_are_functions_of_the_seed_and_differ_between_examples():
    mask = np.repeat(points(batch=1), 4, axis=0)
    first, again, other = (split(mask, seed=seed)[1] for seed in (0, 0, 1))
    assert (first == again).all()
    assert (first != other).any()
    for i in range(4):
        for j in range(i):
            # Two independent draws of a share 0.4 have about 0.4 of their samples in common.
            common = (first[i] * first[j]).sum() / first[i].sum()
            assert 0.2 < common < 0.6


def test_uniform_selection_has_no_preference():
    mask = np.ones((400, 1, 12, 9), np.float32)
    held = split(mask, PartitionRule(ratio=0.3, acs=0))[1].mean(axis=0)[0]
    share = round(0.3 * 108) / 108
    assert np.abs(held - share).max() < 4.5 * np.sqrt(share * (1 - share) / 400)


def test_gaussian_selection_follows_its_density():
    # Few of many are drawn, so that draws without replacement follow the density itself.
    mask = np.ones((300, 1, 40, 41), np.float32)
    held = split(mask, PartitionRule(ratio=0.01, selection="gaussian", std=0.15, acs=0))[1]
    rows, columns = np.nonzero(held.sum(axis=0)[0])
    weights = held.sum(axis=0)[0][rows, columns]
    for index, size in ((rows, 40), (columns, 41)):
        distance = index - size // 2
        assert np.average(distance, weights=weights) == pytest.approx(0, abs=0.5)
        assert np.sqrt(np.average(distance**2, weights=weights)) == pytest.approx(0.15 * size, rel=0.06)


def test_independent_splits():
    mask = points()
    theta, held = split(mask, PartitionRule(splits=4, ratio=0.4))
    assert theta.shape == held.shape == (4, *mask.shape)
    assert (theta + held == mask).all() and (theta * held == 0).all()
    assert (counts(held) == wanted(unprotected(mask, (4, 4)), 0.4)).all()
    assert all((held[i] != held[j]).any() and (held[i] * held[j]).any() for i in range(4) for j in range(i))


@pytest.mark.parametrize("hermitian", [False, True])
@pytest.mark.parametrize("splits, ratio", [(3, 0.2), (4, 0.25), (3, 1 / 3)])
def test_disjoint_splits(splits, ratio, hermitian):
    mask = points()
    rule = PartitionRule(splits=splits, ratio=ratio, disjoint=True, exclude_hermitian=hermitian)
    theta, held = split(mask, rule)
    assert (theta + held == mask).all()
    assert held.sum(axis=0).max() == 1
    eligible = unprotected(mask, (4, 4))
    if not hermitian:
        most = np.minimum(wanted(eligible, ratio), counts(eligible) // splits)
        assert (counts(held) == most).all()
    else:
        assert (mirror(held) * theta == 0).all()
        assert (counts(held) == counts(held)[0]).all()


@pytest.mark.parametrize("shape", [(24, 30), (23, 31), (24, 31), (9, 12)])
@pytest.mark.parametrize("selection", ["uniform", "gaussian"])
@pytest.mark.parametrize("ratio", [0.1, 0.4, 0.83])
def test_no_mirror_image_of_a_held_out_sample_stays_in_the_input(shape, selection, ratio):
    mask = points(shape, acs=4)
    plain_theta, plain_held = split(mask, PartitionRule(ratio=ratio, selection=selection))
    theta, held = split(mask, PartitionRule(ratio=ratio, selection=selection, exclude_hermitian=True))
    own = mirror(np.arange(np.prod(shape)).reshape(shape)) == np.arange(np.prod(shape)).reshape(shape)
    if ratio == 0.4:  # so many that chance alone leaves some
        assert (mirror(plain_held) * plain_theta)[..., ~own].any()
    assert not (mirror(held) * theta)[..., ~own].any()
    assert (theta + held == mask).all()
    # Protected: the block and its mirror image; the rest is held out to the exact number.
    block = np.zeros(shape, np.float32)
    block[centre_slices(shape, (4, 4))] = 1
    eligible = mask * (1 - np.maximum(block, mirror(block)))
    assert (counts(held) == wanted(eligible, ratio)).all()


def test_pairs_alone_give_an_even_count():
    mask = np.ones((1, 1, 5, 5), np.float32)
    _, held = split(mask, PartitionRule(ratio=0.3, acs=1, exclude_hermitian=True))
    assert held.sum() == 6  # round(0.3 · 24) = 7
    assert (mirror(held) == held).all()


@pytest.mark.parametrize("shape", [(6, 8), (7, 9), (6, 9)])
def test_hermitian_partner_is_the_symmetry_of_real_images(shape):
    image = np.random.default_rng(0).standard_normal((2, *shape))
    kspace = np.fft.fftshift(np.fft.fft2(np.fft.ifftshift(image, axes=(-2, -1))), axes=(-2, -1))
    for part, sign in ((kspace.real, 1), (kspace.imag, -1)):
        mirrored = ops.convert_to_numpy(hermitian_partner(ops.convert_to_tensor(part.astype(np.float32))))
        np.testing.assert_allclose(mirrored, sign * part, atol=1e-4)


@pytest.mark.parametrize("hermitian", [False, True])
def test_lines(hermitian):
    mask = lines()
    theta, held = split(mask, PartitionRule(by="line", exclude_hermitian=hermitian))
    assert theta.shape == mask.shape
    assert (theta + held == mask).all() and (theta * held == 0).all()
    protected = np.zeros(48, np.float32)
    protected[22:26] = 1
    if hermitian:
        protected[26] = 1  # the mirror image of line 22
        assert not (mirror(held) * theta)[..., 1:].any()
    assert (counts(held) == wanted(mask * (1 - protected), 0.4)).all()


def test_lines_of_a_mask_with_rows_keep_their_rows():
    mask = np.repeat(lines(), 16, axis=-2)
    mask[..., :3, :] = 0  # an asymmetric echo
    theta, held = split(mask, PartitionRule(by="line"))
    assert (theta + held == mask).all()
    by_line = held.max(axis=-2)
    assert (held == mask * by_line[..., None, :]).all()
    assert (by_line.sum(axis=(-2, -1)) == np.round(0.4 * (mask.max(axis=-2).sum(axis=(-2, -1)) - 4))).all()


def test_line_masks_split_by_points_are_expanded():
    mask = lines()
    theta, held = split(mask, PartitionRule(), height=10)
    assert theta.shape == (3, 1, 10, 48)
    assert (theta + held == mask).all()
    assert (counts(held) == np.round(0.4 * (10 * counts(mask) - 16))).all()
    assert (held.min(axis=-2) < held.max(axis=-2)).any()
    with pytest.raises(InputError, match="give the height of k-space"):
        split(mask, PartitionRule())


def test_leading_axes_are_free_and_frames_split_on_their_own():
    mask = np.stack([make_mask("kt_gaussian", (8, 40), 3, acs_lines=6, frames=5, seed=n).array for n in range(2)])
    theta, held = split(mask, PartitionRule(by="line", splits=2))
    assert theta.shape == (2, 2, 5, 1, 1, 40)
    assert (counts(held) == np.round(0.4 * (counts(mask) - 4))).all()
    assert (split(mask[0, 0], PartitionRule(by="line"))[0]).shape == (1, 1, 40)


def test_masks_with_nothing_to_hold_out_and_empty_masks():
    mask = np.zeros((2, 1, 9, 9), np.float32)
    mask[0, 0, 3:6, 3:6] = 1
    for hermitian in (False, True):
        theta, held = split(mask, PartitionRule(exclude_hermitian=hermitian))
        assert (theta == mask).all() and not held.any()


def test_equal_keys_still_give_exact_counts(monkeypatch):
    monkeypatch.setattr(rng, "uniform", lambda seed, shape: ops.zeros(shape))
    for selection in ("uniform", "gaussian"):
        _, held = split(np.ones((2, 1, 12, 12), np.float32), PartitionRule(selection=selection))
        assert (counts(held) == np.round(0.4 * 128)).all()


@pytest.mark.parametrize(
    "options, message",
    [
        ({"ratio": 0.0}, "between 0 and 1"),
        ({"ratio": 1.0}, "between 0 and 1"),
        ({"selection": "poisson"}, "choose uniform or gaussian"),
        ({"by": "column"}, "choose point or line"),
        ({"std": 0.0}, "positive fraction"),
        ({"acs": -1}, "give a side"),
        ({"acs": (1, 2, 3)}, "give a side"),
        ({"splits": 0}, "at least 1"),
        ({"splits": 3, "disjoint": True}, "give a ratio of at most 0.333"),
    ],
)
def test_impossible_rules(options, message):
    with pytest.raises(InputError, match=message):
        PartitionRule(**options)


def test_a_mask_with_coils_is_refused():
    with pytest.raises(InputError, match="one coil"):
        split(np.ones((2, 4, 8, 8), np.float32))
    with pytest.raises(InputError, match="one coil"):
        split(np.ones((8, 8), np.float32))


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="about tf.function")
@pytest.mark.parametrize(
    "rule",
    [
        PartitionRule(),
        PartitionRule(splits=2, selection="gaussian", exclude_hermitian=True),
        PartitionRule(splits=2, disjoint=True, exclude_hermitian=True),
        PartitionRule(by="line"),
    ],
)
def test_unknown_sizes_in_a_compiled_step(rule):
    import tensorflow as tf

    traces = []

    @tf.function(input_signature=[tf.TensorSpec([None, 1, None, None]), tf.TensorSpec([], tf.int32)])
    def step(mask, number):
        traces.append(1)
        seed = rng.make_seed(3, step=number, purpose="partition")
        return partition(mask, seed, rule, height=None if rule.by == "line" else tf.shape(mask)[-2])

    for shape in ((24, 30), (23, 31)):
        mask = points(shape)
        theta, held = (part.numpy() for part in step(mask, 5))
        eager = partition(mask, rng.make_seed(3, step=5, purpose="partition"), rule)
        assert (theta == eager.input_mask.numpy()).all() and (held == eager.loss_mask.numpy()).all()
        assert (theta + held == mask).all() and held.any()
        assert (step(mask, 6)[1].numpy() != held).any()
    assert len(traces) == 1


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="about tf.function")
def test_a_line_mask_is_expanded_to_a_height_known_only_at_run_time():
    import tensorflow as tf

    @tf.function(input_signature=[tf.TensorSpec([None, 1, 1, None]), tf.TensorSpec([None, None, None, None])])
    def step(mask, kspace):
        return partition(mask, rng.make_seed(0), height=tf.shape(kspace)[-2])

    theta, held = step(lines(), np.zeros((3, 2, 10, 48), np.float32))
    assert theta.shape == (3, 1, 10, 48)
    assert (theta + held == lines()).numpy().all()


@pytest.mark.skipif(keras.backend.backend() != "jax", reason="about jit")
def test_a_jitted_step():
    import jax

    rule = PartitionRule(exclude_hermitian=True, selection="gaussian")
    mask = points()
    compiled = jax.jit(lambda m, number: partition(m, rng.make_seed(3, step=number), rule))(mask, 5)
    eager = partition(mask, rng.make_seed(3, step=5), rule)
    assert (np.asarray(compiled.loss_mask) == np.asarray(eager.loss_mask)).all()


@pytest.mark.parametrize(
    "rule", [PartitionRule(), PartitionRule(splits=3), PartitionRule(ratio=0.3, splits=3, disjoint=True)]
)
def test_with_a_seed_for_each_example_its_split_does_not_depend_on_the_others(rule):
    mask = (np.random.default_rng(0).random((4, 1, 12, 10)) < 0.5).astype(np.float32)
    seeds = rng.make_seeds(0, 5, 4, purpose="partition")
    together = np.asarray(partition(mask, seeds, rule).loss_mask)
    for index in range(4):
        alone = np.asarray(partition(mask[index : index + 1], seeds[index : index + 1], rule).loss_mask)
        expected = together[:, index : index + 1] if rule.splits else together[index : index + 1]
        np.testing.assert_array_equal(alone, expected)
