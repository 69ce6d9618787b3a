"""Small files in the layouts of public datasets, written from their published descriptions."""

import h5py
import nibabel
import numpy as np
import tensorflow as tf

HEADER = """<?xml version="1.0" encoding="UTF-8"?>
<ismrmrdHeader xmlns="http://www.ismrm.org/ISMRMRD"><encoding>
<encodedSpace><matrixSize><x>{encoded[0]}</x><y>{encoded[1]}</y><z>1</z></matrixSize>
<fieldOfView_mm><x>{encoded_fov[0]}</x><y>{encoded_fov[1]}</y><z>7.5</z></fieldOfView_mm></encodedSpace>
<reconSpace><matrixSize><x>{recon[0]}</x><y>{recon[1]}</y><z>1</z></matrixSize>
<fieldOfView_mm><x>{recon_fov[0]}</x><y>{recon_fov[1]}</y><z>4.5</z></fieldOfView_mm></reconSpace>
<encodingLimits><kspace_encoding_step_1><minimum>0</minimum><maximum>{maximum}</maximum>
<center>{center}</center></kspace_encoding_step_1></encodingLimits>
</encoding></ismrmrdHeader>"""


def fft2c(image):
    axes = (-2, -1)
    shifted = np.fft.fft2(np.fft.ifftshift(image, axes=axes), norm="ortho")
    return np.fft.fftshift(shifted, axes=axes).astype(np.complex64)


def ifft2c(kspace):
    axes = (-2, -1)
    shifted = np.fft.ifft2(np.fft.ifftshift(kspace, axes=axes), norm="ortho")
    return np.fft.fftshift(shifted, axes=axes).astype(np.complex64)


def complex_array(shape, seed=0):
    generator = np.random.default_rng(seed)
    return (generator.standard_normal(shape) + 1j * generator.standard_normal(shape)).astype(np.complex64)


def object_images(shape, seed=0):
    """Complex images [..., H, W] that vanish outside the middle half, as an oversampled object does."""
    images = complex_array(shape, seed)
    height = shape[-2]
    images[..., : height // 4, :] = 0
    images[..., -(height // 4) :, :] = 0
    return images


def write_fastmri(
    path, slices=3, coils=4, height=32, width=20, edges=(2, 1), header=True, reference=True, mask=None, seed=0, **attrs
):
    """A fastMRI volume with twofold readout oversampling and zero-filled edge lines.

    Returns:
        The k-space as written; `coils=None` makes a single-coil file.
    """
    shape = (slices, height, width) if coils is None else (slices, coils, height, width)
    kspace = fft2c(object_images(shape, seed))
    left, right = edges
    kspace[..., :left] = 0
    kspace[..., width - right :] = 0
    if mask is not None:
        kspace = kspace * mask
    small = height // 2
    images = ifft2c(kspace)[..., height // 4 : height // 4 + small, :]
    combined = np.abs(images) if coils is None else np.sqrt(np.sum(np.abs(images) ** 2, axis=1))
    crop = min(small, width)
    combined = combined[..., small // 2 - crop // 2 :, width // 2 - crop // 2 :][..., :crop, :crop]
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        file["kspace"] = kspace
        if reference:
            file["reconstruction_esc" if coils is None else "reconstruction_rss"] = combined.astype(np.float32)
        if mask is not None:
            file["mask"] = mask
        if header:
            text = HEADER.format(
                encoded=(height, width),
                encoded_fov=(height * 1.0, width * 1.5),
                recon=(small, crop),
                recon_fov=(small * 1.0, crop * 1.5),
                center=width // 2 - left,
                maximum=width - left - right - 1,
            )
            file["ismrmrd_header"] = text.encode()
        for key, value in {"acquisition": "AXT2", "max": 1.5, "norm": 2.5, "patient_id": "p1", **attrs}.items():
            file.attrs[key] = value
    return kspace


def write_nifti(path, volume, affine=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(volume, np.eye(4) if affine is None else affine), path)


def write_float_records(path, arrays):
    """SSDiffRecon's layout: int64 list `shape`, float list `data`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for array in arrays:
            feature = {
                "shape": tf.train.Feature(int64_list=tf.train.Int64List(value=array.shape)),
                "data": tf.train.Feature(float_list=tf.train.FloatList(value=np.ravel(array))),
            }
            writer.write(tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString())


def channels(array):
    """Complex array to a leading axis of (real, imaginary), float32."""
    return np.stack([array.real, array.imag]).astype(np.float32)
