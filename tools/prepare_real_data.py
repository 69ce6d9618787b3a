r"""Makes the records on which the shipped weights are trained and the tables of docs/ are scored.

python tools/prepare_real_data.py --input=../shared/data --output=data/single --coils=1
python tools/prepare_real_data.py --input=../shared/data --output=data/views --coils=1 --view=128 --views_per_slice=4

The input is a folder with public MR images (names, licences and the split by subject are in its
README). All but one are magnitude or single-coil images: their phase, coils and noise are simulated, and every
record says so. `brain_7coil_slice` is measured k-space of seven coils. Coil maps come from the central
`calibration` x `calibration` block of each record's own k-space, which every mask used afterwards must sample.
"""

import dataclasses
import pathlib
import sys
from collections.abc import Iterator
from typing import Any

from absl import app, flags

from tfrecon.util.errors import InputError

_INPUT = flags.DEFINE_string("input", None, "folder of the images", required=True)
_OUTPUT = flags.DEFINE_string("output", None, "folder of the datasets train/, validation/, test/", required=True)
_COILS = flags.DEFINE_integer("coils", 1, "coils to simulate", lower_bound=1)
_NOISE = flags.DEFINE_float(
    "noise", 0.01, "relative noise of a k-space sample; in views half to twice that", lower_bound=0
)
_CALIBRATION = flags.DEFINE_integer("calibration", 16, "samples along each side of the block that maps are from")
_VIEW = flags.DEFINE_integer("view", 0, "side of square views to train on; 0 for whole slices", lower_bound=0)
_VIEWS = flags.DEFINE_integer("views_per_slice", 4, "views of each training slice", lower_bound=1)
_HEARTS = flags.DEFINE_bool("hearts", False, "also the short-axis heart slices")
_SPLITS = flags.DEFINE_list("splits", ["train", "validation", "test"], "which to write")
_SEED = flags.DEFINE_integer("seed", 0, "of phase, coils, noise and views")


@dataclasses.dataclass(frozen=True)
class Slice:
    """One image and where it belongs."""

    image: Any
    volume: str
    index: int
    split: str


def slices(folder: pathlib.Path, hearts: bool) -> Iterator[Slice]:
    """All images with the split by subject of the folder's README."""
    import nibabel
    import numpy as np

    def array(name: str, key: str) -> Any:
        with np.load(folder / name) as file:
            return file[key]

    for index, image in enumerate(array("studyforrest_t1_ax.npz", "img")):
        yield Slice(image, "studyforrest", index, "train")
    colin = np.asarray(nibabel.load(folder / "colin27_ch2.nii.gz").dataobj)
    for index in range(40, 150):
        yield Slice(np.rot90(colin[:, :, index]), "colin27", index, "train")
    for contrast in ("T1", "T2"):
        for subject, image in enumerate(array("ixi_t1t2_25.npz", contrast)):
            split = "train" if subject < 20 else "validation" if subject < 22 else "test"
            yield Slice(image, f"ixi-{subject:02d}-{contrast}", 0, split)
    flair = np.asarray(nibabel.load(folder / "fernando_flair.nii.gz").dataobj)
    for index in range(flair.shape[-1]):
        split = "train" if index < 20 else "validation" if index < 23 else "test"
        yield Slice(np.rot90(flair[:, :, index]), "fernando", index, split)
    yield Slice(array("admm_brain_complex.npz", "img"), "admm-brain", 0, "test")
    if hearts:
        yield from _hearts(array("sunnybrook_cmr_805.npz", "img"), array("sunnybrook_cmr_805.npz", "name"))


def _hearts(images: Any, names: Any) -> Iterator[Slice]:
    for index, (image, name) in enumerate(zip(images, names, strict=True)):
        patient = str(name).split("-IM-")[0]
        split = "test" if int(patient.rsplit("-", 1)[1]) % 5 == 0 else "train"
        yield Slice(image, f"sunnybrook-{patient}", index, split)


def records(chosen: list[Slice], *, view: int, views_per_slice: int) -> Iterator[Any]:
    """Simulated acquisitions of slices, or of random views of the training slices."""
    import numpy as np

    from tfrecon.data.synthetic import simulate_acquisition
    from tfrecon.data.transforms import with_maps
    from tfrecon.util.rng import numpy_generator

    for item in chosen:
        image = np.asarray(item.image)
        image = image.astype(np.complex64 if np.iscomplexobj(image) else np.float32)
        image = image / np.abs(image).max()
        name = f"{item.volume}/{item.index:03d}"
        views = [("", image)]
        if view and item.split == "train":
            generator = numpy_generator(_SEED.value, name, "views")
            views = [(f"/{k}", random_view(image, view, generator)) for k in range(views_per_slice)]
        for suffix, shown in views:
            noise = _NOISE.value
            if suffix:
                generator = numpy_generator(_SEED.value, name + suffix, "variety")
                shown = random_phase(shown, generator)
                noise *= 2 ** generator.uniform(-1, 1)
            record = simulate_acquisition(
                shown,
                record_id=name + suffix,
                volume_id=item.volume,
                slice_index=item.index,
                coils=_COILS.value,
                noise=noise,
                seed=_SEED.value,
            )
            yield with_maps(record, "espirit", calibration_size=_CALIBRATION.value) if _COILS.value > 1 else record


def random_view(image: Any, size: int, generator: Any) -> Any:
    """A square view of a magnitude image: from the whole slice to a cut at its own resolution, turned at random.

    Coarser views are smoothed first, as an acquisition with larger voxels would.
    """
    import numpy as np
    from scipy import ndimage

    widest = max(max(image.shape) / size, 1.0)
    for _ in range(20):
        step = widest ** generator.uniform()
        angle = generator.uniform(0, 2 * np.pi)
        turn = step * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        turn = turn * generator.choice([-1, 1], size=(1, 2))
        slack = np.maximum((np.array(image.shape) - step * size) / 2, 0)
        centre = (np.array(image.shape) - 1) / 2 + generator.uniform(-1, 1, 2) * slack
        smooth = ndimage.gaussian_filter(image, 0.5 * np.sqrt(step**2 - 1))
        view = ndimage.affine_transform(
            smooth, turn, centre - turn @ np.full(2, (size - 1) / 2), (size, size), order=3, mode="constant"
        )
        if (view > 0.1).mean() > 0.15:
            break
    return np.maximum(view, 0).astype(np.float32)


def random_phase(image: Any, generator: Any) -> Any:
    """The magnitude image with a phase as measured images have it: smooth, and other in other tissues.

    Fat, blood and iron turn at other rates than their surroundings, so that measured phase has the edges of
    the anatomy. Here it is a random function of the intensity, slightly blurred, on top of a smooth field.
    """
    import numpy as np
    from scipy import ndimage

    from tfrecon.data.synthetic import smooth_phase

    level = image / np.quantile(image, 0.99)
    tissue = np.sin(2 * np.pi * (generator.uniform(0.2, 1.2) * level + generator.uniform()))
    tissue = ndimage.gaussian_filter(tissue, generator.uniform(0, 1.5)) * generator.uniform(0, 0.8)
    field = smooth_phase(image.shape, generator, strength=generator.uniform(0.5, 2))
    return (image * np.exp(1j * (field + tissue))).astype(np.complex64)


def measured_brain(folder: pathlib.Path) -> Any:
    """The measured seven-coil slice; its reference combines all of its samples with its maps.

    The root sum of squares would do for no method: it keeps the noise of every coil where the maps, which
    all methods use, are zero, and the combination of all samples itself scores badly against it.
    """
    import numpy as np

    from tfrecon.data.transforms import scale_of, to_image, to_kspace, with_maps
    from tfrecon.records import Record

    with np.load(folder / "brain_7coil_slice.npz") as file:
        kspace = to_kspace(np.moveaxis(file["arr_0"], -1, 0)).astype(np.complex64)
    mask = np.ones((1, 1, kspace.shape[-1]), np.uint8)
    attrs = {"reference_type": "SENSE combination of all samples", "measured": "k-space of seven coils, fully sampled"}
    record = Record(kspace, mask, "brain-7coil/000", "brain-7coil", 0, scale_of(kspace, mask), attrs=attrs)
    record = with_maps(record, "espirit", calibration_size=_CALIBRATION.value)
    record.reference = np.sum(np.conj(record.maps) * to_image(kspace), axis=0)
    return record


def main(argv: list[str]) -> None:
    """Writes the datasets."""
    del argv
    from tfrecon.data.writer import write_dataset
    from tfrecon.util.progress import progress

    folder, output = pathlib.Path(_INPUT.value), pathlib.Path(_OUTPUT.value)
    if not folder.is_dir():
        raise InputError("no such folder", str(folder), "give the folder of the images")
    everything = list(slices(folder, _HEARTS.value))
    for split in _SPLITS.value:
        chosen = [item for item in everything if item.split == split]
        made = list(records(progress(chosen, split), view=_VIEW.value, views_per_slice=_VIEWS.value))
        facts = {flag.name: flag.value for flag in flags.FLAGS.get_key_flags_for_module(sys.argv[0])}
        facts = {key: facts[key] for key in ("coils", "noise", "calibration", "view", "views_per_slice", "seed")}
        write_dataset(output / split, made, shards=4 if split == "train" else 1, made=facts, overwrite=True)
        print(f"wrote {output / split}: {len(made)} records")
    if _COILS.value > 1 and "test" in _SPLITS.value:
        write_dataset(output / "test_measured", [measured_brain(folder)], overwrite=True)
        print(f"wrote {output / 'test_measured'}: 1 record, measured")


if __name__ == "__main__":
    try:
        app.run(main)
    except InputError as error:
        sys.exit(f"prepare_real_data: {error}")
