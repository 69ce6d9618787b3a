"""The small trained models that come with a checkout of the repository, in `weights/`."""

from __future__ import annotations

import pathlib

import tfrecon
from tfrecon.train.model_folder import CONFIG_FILE

WEIGHTS = pathlib.Path(tfrecon.__file__).parents[1] / "weights"


def shipped_models(coils: int) -> dict[str, pathlib.Path]:
    """The models for data of so many coils.

    Args:
        coils: one coil and several may have models of their own.

    Returns:
        Model folders by name: `weights/NAME` of a model for any number of coils, else `weights/NAME/single_coil` or
        `weights/NAME/multi_coil`; none where tfrecon was installed without the repository.
    """
    kind = "single_coil" if coils == 1 else "multi_coil"
    found: dict[str, pathlib.Path] = {}
    for folder in sorted(WEIGHTS.glob("*")):
        for place in (folder / kind, folder):
            if (place / CONFIG_FILE).is_file():
                found[folder.name] = place
    return found
