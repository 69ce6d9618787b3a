"""NCSN++ and its parts for one image in plain NumPy, float64, written from the published definitions.

Weights are a dictionary from a variable's path to its value; a part is the prefix of its paths. Filters
are applied as defined: zeros inserted, padded, every tap added, every second sample left out.
"""

import numpy as np

TAPS = np.outer([1, 3, 3, 1], [1, 3, 3, 1]) / 64.0


def weights_of(layer):
    """Values by path, without the layer's own name."""
    return {v.path.removeprefix(f"{layer.name}/"): np.asarray(v.value, np.float64) for v in layer.variables}


def swish(x):
    return x / (1 + np.exp(-x))


def upfirdn(x, up=1, down=1, before=0, after=0):
    """`[H, W, C]`: `up - 1` zeros behind each sample, padding, the filter (with gain up²), every `down`-th sample."""
    height, width, channels = x.shape
    spread = np.zeros((height * up, width * up, channels))
    spread[::up, ::up] = x
    spread = np.pad(spread, ((before, after), (before, after), (0, 0)))
    height, width = spread.shape[0] - 3, spread.shape[1] - 3
    y = sum(up**2 * TAPS[i, j] * spread[i : i + height, j : j + width] for i in range(4) for j in range(4))
    return y[::down, ::down]


def fir_downsample(x):
    return upfirdn(x, down=2, before=1, after=1)


def fir_upsample(x):
    return upfirdn(x, up=2, before=2, after=1)


def convolution(weights, name, x, stride=1, padding=None):
    kernel = weights[f"{name}/kernel"]
    side = kernel.shape[0]
    padding = (side // 2, side // 2) if padding is None else padding
    x = np.pad(x, (padding, padding, (0, 0)))
    height, width = x.shape[0] - side + 1, x.shape[1] - side + 1
    y = sum(x[i : i + height, j : j + width] @ kernel[i, j] for i in range(side) for j in range(side))
    return y[::stride, ::stride] + weights[f"{name}/bias"]


def dense(weights, name, x):
    return x @ weights[f"{name}/kernel"] + weights[f"{name}/bias"]


def group_norm(weights, name, x, groups, epsilon=1e-6):
    height, width, channels = x.shape
    grouped = x.reshape(height, width, groups, channels // groups)
    mean = grouped.mean((0, 1, 3), keepdims=True)
    variance = grouped.var((0, 1, 3), keepdims=True)
    normal = ((grouped - mean) / np.sqrt(variance + epsilon)).reshape(x.shape)
    return normal * weights[f"{name}/gain".lstrip("/")] + weights[f"{name}/offset".lstrip("/")]


def groups_of(channels):
    """The published number of groups."""
    return min(channels // 4, 32)


def biggan_block(weights, name, x, embedding, change_size=None, rescale=True):
    """The block of NCSN++; without rescaling that of DDPM. `name` ends with a slash."""
    h = swish(group_norm(weights, f"{name}norm_in", x, groups_of(x.shape[-1])))
    if change_size is not None:
        x, h = change_size(x), change_size(h)
    h = convolution(weights, f"{name}conv_in", h)
    h = h + dense(weights, f"{name}project_time", swish(embedding))
    h = swish(group_norm(weights, f"{name}norm_out", h, groups_of(h.shape[-1])))
    h = convolution(weights, f"{name}conv_out", h)
    if f"{name}shortcut/kernel" in weights:
        x = convolution(weights, f"{name}shortcut", x)
    return (x + h) / np.sqrt(2) if rescale else x + h


def attention(weights, name, x, rescale=True):
    """Self-attention of pixels; `name` ends with a slash."""
    channels = x.shape[-1]
    normal = group_norm(weights, f"{name}norm", x, groups_of(channels))
    query, key, value = (
        convolution(weights, f"{name}{part}", normal).reshape(-1, channels) for part in ("query", "key", "value")
    )
    logits = query @ key.T / np.sqrt(channels)
    exponentials = np.exp(logits - logits.max(1, keepdims=True))
    probabilities = exponentials / exponentials.sum(1, keepdims=True)
    h = convolution(weights, f"{name}out", (probabilities @ value).reshape(x.shape))
    return (x + h) / np.sqrt(2) if rescale else x + h


def fourier_embedding(weights, time):
    angles = 2 * np.pi * time * weights["embedding/features/frequencies"]
    features = np.concatenate([np.sin(angles), np.cos(angles)])
    return dense(weights, "embedding/dense_out", swish(dense(weights, "embedding/dense_in", features)))


def ncsnpp(weights, image, time, levels, blocks, attention_levels=()):
    """NCSN++ with progressive input "residual" and attention in the bottleneck; image `[H, W, C]` in [0, 1]."""
    image = 2 * image - 1
    embedding = fourier_embedding(weights, time)
    x, pyramid = convolution(weights, "stem", image), image
    kept = [x]
    for level in range(levels):
        for number in range(blocks):
            x = biggan_block(weights, f"encode_{level}_{number}/", x, embedding)
            if level in attention_levels:
                x = attention(weights, f"attention_encode_{level}_{number}/", x)
            kept.append(x)
        if level < levels - 1:
            x = biggan_block(weights, f"down_{level}/", x, embedding, fir_downsample)
            filtered = upfirdn(pyramid, before=2, after=2)
            pyramid = convolution(weights, f"pyramid_{level}/convolution", filtered, stride=2, padding=(0, 0))
            x = pyramid = (pyramid + x) / np.sqrt(2)
            kept.append(x)
    x = biggan_block(weights, "middle_0/", x, embedding)
    x = attention(weights, "attention_middle_0/", x)
    x = biggan_block(weights, "middle_1/", x, embedding)
    for level in reversed(range(levels)):
        for number in range(blocks + 1):
            x = np.concatenate([x, kept.pop()], axis=-1)
            x = biggan_block(weights, f"decode_{level}_{number}/", x, embedding)
        if level in attention_levels:
            x = attention(weights, f"attention_decode_{level}_{blocks}/", x)
        if level > 0:
            x = biggan_block(weights, f"up_{level}/", x, embedding, fir_upsample)
    assert not kept
    return convolution(weights, "head", swish(group_norm(weights, "head_norm", x, groups_of(x.shape[-1]))))
