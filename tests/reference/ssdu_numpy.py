"""Self-supervised losses and SSDiffRecon's published split in plain NumPy, written from the equations."""

import numpy as np
import sense_numpy


def published_split(mask, generator, share=0.95):
    """SSDiffRecon's split of one mask [1, H, W]: (input, loss), any sample may be held out, DC too."""
    indices = np.flatnonzero(mask)
    kept = generator.permutation(indices)[: int(share * mask.sum())]
    input_mask = np.zeros(mask.size)
    input_mask[kept] = 1
    input_mask = input_mask.reshape(mask.shape)
    return input_mask, mask - input_mask


def published_loss(image, target_image, maps, loss_mask):
    """Mean over all coils and positions of |F(S_c u) - F(S_c x)| on the loss mask, unnormalised transform."""
    height, width = image.shape
    residual = sense_numpy.fft2c(maps * target_image) - sense_numpy.fft2c(maps * image)
    return (loss_mask * abs(residual) * np.sqrt(height * width)).sum() / (len(maps) * height * width)


def sample_loss(predicted, measured, mask, distance="l1", weights=1.0):
    """The loss of one example, `losses.kspace.sample_loss` by boolean indexing of the samples."""
    where = np.broadcast_to(mask > 0, predicted.shape)
    weights = np.broadcast_to(weights, predicted.shape)[where]
    error, data = (predicted - measured)[where], measured[where]
    if distance == "l1":
        return (weights * abs(error)).sum() / weights.sum()
    if distance == "l2":
        return (weights * abs(error) ** 2).sum() / weights.sum()
    two = np.sqrt((weights * abs(error) ** 2).sum() / (weights * abs(data) ** 2).sum())
    return two + (weights * abs(error)).sum() / (weights * abs(data)).sum()


def naive_l1(error):
    """|error| as it is first written: its derivative at zero is 0 / 0."""
    magnitude = np.sqrt(error.real**2 + error.imag**2)
    with np.errstate(invalid="ignore"):
        return magnitude, error / magnitude
