"""Several methods on the same undersampled records."""

import numpy as np
import pytest
from toy_in_steps import ToyInSteps
from trained_toys import make_model_folder

import tfrecon
from tfrecon.data.synthetic import ellipse_phantom, simulate_acquisition
from tfrecon.report.compare import ModelChoice, acceleration, parse_mask, parse_model, parse_models, scan, score
from tfrecon.report.compare import undersampled as undersample_all
from tfrecon.serve.pace import Pace
from tfrecon.serve.reconstruct import Reconstructor
from tfrecon.util.errors import InputError

SHAPE = (32, 36)


@pytest.fixture(scope="module")
def records():
    made = [
        simulate_acquisition(ellipse_phantom(SHAPE, seed=k), record_id=f"v/{k}", volume_id="v", coils=1, noise=0.01)
        for k in range(3)
    ]
    return undersample_all(made, parse_mask("gaussian1d:2:8"))


def test_models_are_words():
    assert parse_model("prior=weights/score_small") == ModelChoice("prior", "weights/score_small", {})
    found = parse_model("a prior=runs/x:nfe=50:samples=4:sampling.N=9")
    assert found == ModelChoice("a prior", "runs/x", {"nfe": "50", "samples": "4", "sampling.N": "9"})
    for wrong in ("prior", "prior=", "=runs/x", "prior=x:nfe", "prior=x:=3", ""):
        with pytest.raises(InputError, match="NAME=FOLDER:OPTION=VALUE; write prior="):
            parse_model(wrong)
    with pytest.raises(InputError, match="has an option twice"):
        parse_model("prior=x:nfe=3:nfe=4")


def test_every_method_has_a_name_of_its_own():
    assert [model.name for model in parse_models(["a=x", "b=x:nfe=3"], ["tv"])] == ["a", "b"]
    for texts in (["a=x", "a=y"], ["tv=x"]):
        with pytest.raises(InputError, match=r"two methods are called '(a|tv)'"):
            parse_models(texts, ["tv"])


def test_scores_are_those_of_each_slice(records):
    found = score("zero filled", Reconstructor("zero_filled"), records)
    assert found.records == ("v/0", "v/1", "v/2") and found.method == "zero filled"
    assert found.psnr == pytest.approx(np.mean(found.slices)) and found.seconds > 0
    image = np.abs(tfrecon.reconstruct(records[1].kspace, records[1].mask, method="zero_filled"))
    reference = np.abs(records[1].reference)
    error = np.mean((image - reference) ** 2)
    assert found.slices[1] == pytest.approx(10 * np.log10(reference.max() ** 2 / error), abs=0.01)
    assert acceleration(records) == pytest.approx(2, rel=0.1)
    weights = scan(records, "tv", "regularisation", [1e-3, 10.0])
    assert [value for value, _ in weights] == [1e-3, 10.0] and weights[0][1].psnr > weights[1][1].psnr


def test_a_sampler_is_not_run_twice_to_compile_it(records, tmp_path, monkeypatch):
    model = tfrecon.load(make_model_folder(tmp_path / "model", ToyInSteps.name)[0])
    steps, real = [], Pace.made_steps
    monkeypatch.setattr(Pace, "made_steps", lambda pace, count: (steps.append(count), real(pace, count)))
    score("toy", model.reconstructor({"passes": 20}), records)
    assert sum(steps) == 1 + 3 * 20
