import dataclasses

import pytest

from tfrecon.methods import base
from tfrecon.typing import Reconstruction
from tfrecon.util.errors import InputError


@dataclasses.dataclass(frozen=True)
class Options:
    iterations: int = 10
    weight: float = 0.5
    restart: bool = True
    wavelet: str = "db4"
    levels: int | None = None


class Constant(base.Method):
    name = "constant"
    options_type = Options

    def reconstruct(self, models, measurement, seed, options):
        return Reconstruction(measurement.kspace * options.weight)


@pytest.fixture
def registered():
    base.register_method(Constant)
    yield
    del base._REGISTRY["constant"]


def test_every_named_method_is_where_it_is_said_to_be():
    for name in base._MODULES:
        method = base.get_method(name)
        assert method.name == name and isinstance(method.xla, bool)
        assert dataclasses.is_dataclass(method.options_type) and method.options_type.__doc__
        method.options_type()  # every option has a default
    for name in base.untrained_names():
        assert base.get_method(name).build() == {}
    trained = {"autoencoder", "conditional", "ddpm", "latent", "score", "ssdiffrecon"}
    assert set(base._MODULES) - set(base.untrained_names()) == trained


def test_a_registered_method_is_known(registered):
    assert "constant" in base.method_names()
    assert isinstance(base.get_method("constant"), Constant)


def test_network_calls_are_those_of_the_option_that_says_them():
    method = base.get_method("ssdiffrecon")
    assert method.network_calls(base.resolve_options(method, {"steps": 4, "samples": 3})) == 12
    assert Constant().network_calls(Options()) is None


def test_an_unknown_method_names_the_known_ones():
    with pytest.raises(InputError, match="no method 'sense'; choose one of zero_filled, cg_sense"):
        base.get_method("sense")


def test_a_classical_method_has_nothing_to_train():
    with pytest.raises(InputError, match="'constant' has nothing to train"):
        Constant().loss({}, {}, None, True)


def test_options_are_defaults_with_the_given_ones_converted():
    given = {"iterations": "25", "weight": "1e-3", "restart": "False", "wavelet": "haar", "levels": 3}
    assert base.resolve_options(Constant(), given) == Options(25, 1e-3, False, "haar", 3)
    assert base.resolve_options(Constant(), {}) == Options()
    assert base.resolve_options(Constant(), {"restart": "1"}).restart is True
    assert base.resolve_options(Constant(), {"restart": False}).restart is False


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"iteration": 3}, "method 'constant' has no key 'iteration'; did you mean 'iterations'"),
        ({"q": 3}, "no key 'q'; its keys are: iterations, weight"),
        ({"iterations": "many"}, "method 'constant': 'iterations' is int, not 'many'"),
        ({"restart": "perhaps"}, "'restart' is bool, not 'perhaps'"),
        ({"weight": [1]}, "'weight' is float"),
    ],
)
def test_wrong_options_are_named(given, message):
    with pytest.raises(InputError, match=message):
        base.resolve_options(Constant(), given)


def test_training_images_are_made_or_come_padded():
    images = base.TrainingImages("reference", lambda batch: 2 * batch["reference"])
    assert images.of({"reference": 3, "kspace": 1}) == (6, None)
    assert images.of({"image": 5, "valid": 1}) == (5, 1)
    assert base.get_method("zero_filled").training_images() is None
