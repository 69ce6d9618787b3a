"""The trained models that ship: each has a card, tells nothing of the machine it was made on, and reconstructs."""

import pathlib

import numpy as np
import pytest

import tfrecon
from tfrecon.data.sources import open_source
from tfrecon.data.transforms import Undersampling, to_measurement
from tfrecon.metrics import nmse
from tfrecon.report.compare import undersampled
from tfrecon.serve.interval_scale import IntervalScale
from tfrecon.serve.reconstruct import Reconstructor
from tfrecon.serve.shipped import WEIGHTS, shipped_models
from tfrecon.util.files import read_json

CASES = [(folder, coils) for coils in (1, 4) for folder in shipped_models(coils).values()]
FOLDERS = sorted({folder for folder, _ in CASES})
PHANTOM = pathlib.Path(__file__).parents[1] / "dummy_data" / "nifti" / "phantom07.nii.gz"


def name_of(folder):
    return str(folder.relative_to(WEIGHTS))


def test_all_models_have_a_card_and_a_line_in_the_list():
    names = {folder.name for folder in WEIGHTS.iterdir() if folder.is_dir()}
    assert names == set(shipped_models(1)) == set(shipped_models(8))
    listed = (WEIGHTS / "README.md").read_text()
    for name in names:
        assert (WEIGHTS / name / "README.md").is_file() and f"[{name}]({name}/README.md)" in listed


def test_the_priors_are_small():
    priors = [WEIGHTS / name for name in ("score_small", "hfs_small")]
    assert sum(file.stat().st_size for prior in priors for file in prior.rglob("*")) < 20e6


@pytest.mark.parametrize("folder", FOLDERS, ids=name_of)
def test_settings_name_no_place_of_the_machine_they_were_trained_on(folder):
    data = read_json(folder / "config.json")["data"]
    assert not any(pathlib.PurePath(data[split]).is_absolute() for split in ("train", "validation"))
    scale = IntervalScale.of_model(folder)
    assert not any(isinstance(word, str) and word.startswith("/") for word in scale.fitted_on.values())


@pytest.mark.parametrize("folder, coils", CASES, ids=[f"{name_of(folder)}-{coils}" for folder, coils in CASES])
def test_shipped_models_reconstruct_better_than_zero_filling(folder, coils):
    full = next(iter(open_source(PHANTOM, coils=coils)))
    (record,) = undersampled([full], Undersampling("gaussian1d", 2.5, acs_lines=12))
    measurement = to_measurement(record)
    image = tfrecon.load(folder).reconstructor({})(measurement, key=record.record_id).image
    zero_filled = Reconstructor("zero_filled")(measurement).image
    errors = [nmse(np.abs(np.asarray(found)), np.abs(record.reference)) for found in (image, zero_filled)]
    assert errors[0] < 0.7 * errors[1]
