"""Small folders of images in the layout that `reconstruct` writes, made without it."""

import json

import h5py
import nibabel
import numpy as np

SHAPE = (24, 30)
SIMULATED = {"seed": 3, "coils": {"kind": "random", "count": 8}, "phase": "smooth random"}


def truth(k, shape=SHAPE):
    rng = np.random.default_rng(100 + k)
    rows, columns = np.ogrid[-1 : 1 : shape[0] * 1j, -1 : 1 : shape[1] * 1j]
    body = (rows**2 + columns**2 < 0.8) * (1.0 - 0.1 * (k % 3))
    return (body * (0.6 + 0.4 * rng.random(shape))).astype(np.float32)


def degraded(k, noise, shape=SHAPE):
    rng = np.random.default_rng([k, int(1000 * noise)])
    return np.abs(truth(k, shape) + noise * rng.standard_normal(shape)).astype(np.float32)


def images_of(volumes=2, slices=3, noise=0.05, shape=SHAPE):
    """Result, zero-filled and reference [N, H, W] by volume id."""
    found = {}
    for v in range(volumes):
        numbers = range(v * slices, (v + 1) * slices)
        found[f"file{v}"] = {
            "": np.stack([degraded(k, noise, shape) for k in numbers]),
            "zero_filled": np.stack([degraded(k, 0.2, shape) for k in numbers]),
            "reference": np.stack([truth(k, shape) for k in numbers]),
        }
    return found


def make_folder(folder, images=None, method="cg_sense", style="npy", attrs=None, index=True):
    """Writes the folder and returns it."""
    images = images_of() if images is None else images
    attrs = {"reference_type": "rss", "simulated": SIMULATED, "source": "phantom"} if attrs is None else attrs
    entries, k = [], 0
    for volume_id, kinds in images.items():
        for n in range(len(kinds[""])):
            file = {"npy": f"im_{k}samples.npy", "h5": f"{volume_id}.h5", "nifti": f"{volume_id}.nii.gz"}[style]
            place = {"k": k, "file": file} | ({} if style == "npy" else {"index_in_file": n})
            names = {"record_id": f"{volume_id}/{n:03d}", "volume_id": volume_id, "slice_index": n}
            facts = {"acceleration": 3.2, "acs": [SHAPE[0], 4], "seconds": 0.25, "attrs": attrs}
            entries.append(place | names | facts)
            if style == "npy":
                for kind, stack in kinds.items():
                    save_npy(folder / kind / file, stack[n])
            mask = np.zeros((1, 1, SHAPE[1]), np.uint8)
            mask[..., ::4] = mask[..., 13:17] = 1
            save_npy(folder / "mask" / f"im_{k}samples.npy", mask)
            k += 1
        if style != "npy":
            for kind, stack in kinds.items():
                save_volume(folder / kind / f"{volume_id}", stack, style)
    if index:
        content = {"format": style, "method": method, "options": {"iterations": 5}, "input": "phantom"}
        content |= {"undersampling": {"kind": "equispaced", "acceleration": 4.0}, "images": entries}
        (folder / "index.json").write_text(json.dumps(content))
    return folder


def save_npy(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, array)


def save_volume(path, stack, style, key="reconstruction"):
    path.parent.mkdir(parents=True, exist_ok=True)
    if style == "h5":
        with h5py.File(path.with_name(path.name + ".h5"), "w") as file:
            file[key] = stack
    else:
        nibabel.save(nibabel.Nifti1Image(np.moveaxis(stack, 0, 2), np.eye(4)), path.with_name(path.name + ".nii.gz"))
