"""The small trained models that come with a checkout of the repository, in `weights/`."""

from __future__ import annotations

import pathlib

import tfrecon
from tfrecon.train.model_folder import CONFIG_FILE

WEIGHTS = pathlib.Path(tfrecon.__file__).parents[1] / "weights"


def shipped_models(coils: int) -> dict[str, pathlib.Path]:
    """The models for data of so many coils.

    Args:
        coils: one coil and several have models of their own.

    Returns:
        Model folders by name, `weights/NAME/single_coil` or `weights/NAME/multi_coil`; none where tfrecon
        was installed without the repository.
    """
    kind = "single_coil" if coils == 1 else "multi_coil"
    folders = sorted(WEIGHTS.glob(f"*/{kind}"))
    return {folder.parent.name: folder for folder in folders if (folder / CONFIG_FILE).is_file()}
