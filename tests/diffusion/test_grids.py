"""Where samplers call their denoisers."""

import gaussian_diffusion as gaussian
import numpy as np
import pytest
from keras import ops

from tfrecon.diffusion.discrete import ChainSettings, DiscretePath
from tfrecon.diffusion.factory import PathSettings, make_path
from tfrecon.diffusion.grids import make_times, steps_within
from tfrecon.util.errors import InputError

pytestmark = pytest.mark.mathematics


@pytest.mark.parametrize("kind", ["ve", "vp", "subvp", "hfs"])
@pytest.mark.parametrize("spacing", ["linear", "karras", "log_snr"])
@pytest.mark.parametrize("count", [2, 20, 300, 1000])
def test_grids_fall_from_start_to_end(kind, spacing, count):
    path = gaussian.make(kind)
    for start in (1.0, 0.3):
        times = make_times(path, count, spacing, start=start)
        assert times.dtype == np.float32 and times.shape == (count,)
        assert times[0] == np.float32(start) and times[-1] == np.float32(path.t_min)
        assert (np.diff(times) < 0).all()


def test_published_grids_are_linear():
    for kind, last in (("ve", 1e-5), ("vp", 1e-3), ("hfs", 1e-3)):
        path = make_path(PathSettings(kind=kind), lambda x: x)
        np.testing.assert_allclose(make_times(path, 2000), np.linspace(1, last, 2000), rtol=1e-6)


@pytest.mark.parametrize("kind", ["ve", "vp", "subvp"])
def test_karras_is_even_in_a_root_and_log_snr_in_itself(kind):
    path = gaussian.make(kind)
    times = make_times(path, 12, "karras")
    ratios = np.exp(-0.5 * ops.convert_to_numpy(path.log_snr(times)).astype(float))
    np.testing.assert_allclose(np.diff(ratios ** (1 / 7), 2), 0, atol=3e-3 * ratios[0] ** (1 / 7))
    levels = ops.convert_to_numpy(path.log_snr(make_times(path, 12, "log_snr")))
    np.testing.assert_allclose(np.diff(levels, 2), 0, atol=2e-3)


def test_a_single_time_is_the_start_and_an_end_may_be_given():
    path = gaussian.make("ve")
    np.testing.assert_allclose(make_times(path, 1, start=0.4), [0.4])
    np.testing.assert_allclose(make_times(path, 3, end=0.2), [1, 0.6, 0.2])


@pytest.mark.parametrize("spacing", ["linear", "karras", "log_snr"])
def test_chains_give_their_nearest_times(spacing):
    path = DiscretePath.from_settings(ChainSettings(200, "linear", 1e-3, 0.1))
    times = make_times(path, 10, spacing)
    assert times.dtype == np.int32 and times[0] == 199 and times[-1] == 0 and (np.diff(times) < 0).all()
    if spacing == "linear":
        np.testing.assert_array_equal(times, path.respaced(10))


@pytest.mark.parametrize(
    "arguments, message",
    [((0,), "0 steps"), ((5, "cosine"), "no spacing"), ((5, "linear"), "times from 0 to 0.001")],
)
def test_wrong_grids(arguments, message):
    with pytest.raises(InputError, match=message):
        make_times(gaussian.make("vp"), *arguments, start=0.0 if "times" in message else 1.0)


def test_budgets():
    assert [steps_within(50), steps_within(51, 2), steps_within(3, 3)] == [50, 25, 1]
    with pytest.raises(InputError, match="1 network calls are not one step of 2"):
        steps_within(1, 2)
