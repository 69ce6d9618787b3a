"""What a prior is not given: holes in maps, series for magnitudes, real images that are none, data without gaps."""

import numpy as np
import pytest
import sense_numpy
from score_cases import Network, make_method, measurement_of, models_of, tiny
from ssdiffrecon_cases import make_batch

from tfrecon.methods.score.checks import check_measured
from tfrecon.methods.score.options import ScoreOptions
from tfrecon.serve.learned import TrainedModel
from tfrecon.typing import Measurement
from tfrecon.util.errors import InputError

COMPLEX, MAGNITUDE = tiny(), tiny(channels="magnitude")


def head(count=2, coils=3, hole=None):
    """A bright disc, and maps that may have a hole."""
    rows, columns = np.mgrid[-20:20, -22:22]
    radius = np.hypot(rows, columns)
    image = (radius < 15).astype(complex)
    batch = make_batch(count, coils, (40, 44), lines=True, rate=0.3)
    batch["mask"][..., 16:28] = 1
    batch["maps"] = batch["maps"] * (radius < 17)
    if hole is not None:
        batch["maps"][hole, :, 15:24, 17:27] = 0
    batch["kspace"] = batch["mask"] * sense_numpy.fft2c(batch["maps"] * image)
    if hole is not None:  # what is measured sees the object all the same
        batch["kspace"] = batch["mask"] * sense_numpy.fft2c(np.ones((count, coils, 1, 1)) * image)
    return batch


def test_maps_that_end_where_the_object_does_are_well():
    check_measured(measurement_of(head()), COMPLEX, ScoreOptions())


def test_maps_that_are_zero_inside_the_object():
    with pytest.raises(InputError, match=r"maps are zero in \d+% of the object of slice 1.*--maps=espirit") as caught:
        check_measured(measurement_of(head(hole=1)), COMPLEX, ScoreOptions())
    assert "\n" not in str(caught.value)


def test_a_loaded_model_says_it_before_it_samples():
    batch, network = head(1, hole=0), Network()
    model = TrainedModel(make_method(), models_of(network), ScoreOptions(nfe=2), {})
    with pytest.raises(InputError, match="of the object: it would be missing from the image"):
        model(batch["kspace"], batch["mask"], batch["maps"])
    assert not network.calls


def test_a_series_for_a_prior_of_magnitudes():
    batch = head(1, coils=1)
    series = Measurement(np.tile(batch["kspace"][:, None], (1, 5, 1, 1, 1)), batch["mask"][:, None])
    with pytest.raises(InputError, match="of magnitudes of single slices was asked for a series of 5 frames"):
        check_measured(series, MAGNITUDE, ScoreOptions(), series=True)
    check_measured(series, COMPLEX, ScoreOptions(), series=True)


@pytest.mark.parametrize("lines", [True, False])
@pytest.mark.parametrize("shape", [(15, 16), (8, 9)])
def test_real_algorithms_want_real_images(lines, shape):
    batch = make_batch(2, 1, shape, lines=lines, rate=0.6)
    options = ScoreOptions(algorithm="real")
    with pytest.raises(InputError, match=r"not that of a real image: .* \d+%; take algorithm=complex"):
        check_measured(measurement_of(batch), MAGNITUDE, options)
    batch["kspace"] = batch["mask"] * sense_numpy.fft2c(abs(batch["reference"][:, None]))
    check_measured(measurement_of(batch), MAGNITUDE, options)


def test_prospective_data_have_gaps():
    batch = make_batch(1, 1, rate=2.0)
    batch["kspace"] = sense_numpy.fft2c(abs(batch["reference"][:, None]))
    with pytest.raises(InputError, match=r"without a gap; put NAME_mask\.npy beside NAME\.npy"):
        check_measured(measurement_of(batch), MAGNITUDE, ScoreOptions(algorithm="prospective"))


def test_masks_that_do_not_match():
    batch = make_batch(1, 1, (12, 16))
    turned = Measurement(batch["kspace"], np.swapaxes(batch["mask"], -2, -1))
    with pytest.raises(InputError, match=r"does not fit k-space .*look swapped"):
        check_measured(turned, COMPLEX, ScoreOptions())
