"""SSDiffRecon's mapper and denoiser for one example in plain NumPy, float64, written from the equations.

Without dropout. Weights are a dictionary from a variable's path to its value; `settings` is anything
with the attributes of `SSDiffReconModel`. Nothing is fused, folded or batched: each layer is computed
as it is defined.
"""

import numpy as np
import sense_numpy

LRELU_GAIN = np.sqrt(2.0)


def weights_of(model):
    """Values by path, without the model's own name, which not all paths begin with."""
    return {v.path.removeprefix(f"{model.name}/"): np.asarray(v.value, np.float64) for v in model.variables}


def lrelu(x):
    return LRELU_GAIN * np.where(x > 0, x, 0.2 * x)


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def rms_norm(x, epsilon):
    return x / np.sqrt((x**2).mean(-1, keepdims=True) + epsilon)


def equalised(weight, multiplier=1.0):
    return weight * multiplier / np.sqrt(np.prod(weight.shape[:-1]))


def dense(weights, name, x, multiplier=1.0):
    return x @ equalised(weights[f"{name}/kernel"], multiplier) + multiplier * weights[f"{name}/bias"]


def conv(x, kernel):
    """`[H, W, n]` with `[k, k, n, m]`, zeros around, size kept: a sum over the taps of the kernel."""
    side = kernel.shape[0]
    before = (side - 1) // 2
    padded = np.pad(x, ((before, side - 1 - before), (before, side - 1 - before), (0, 0)))
    height, width = x.shape[:2]
    return sum(padded[i : i + height, j : j + width] @ kernel[i, j] for i in range(side) for j in range(side))


def equalised_conv(weights, name, x, bias=True):
    y = conv(x, equalised(weights[f"{name}/kernel"]))
    return y + weights[f"{name}/bias"] if bias else y


def modulated_conv(weights, name, x, style, demodulate=True):
    """The definition: a kernel of its own for each example, scaled, then of unit norm for each output."""
    s = dense(weights, f"{name}/style", style) + 1
    kernel = equalised(weights[f"{name}/convolution/kernel"]) * s[:, None]
    d = 1 / np.sqrt((kernel**2).sum((0, 1, 2)) + 1e-8) if demodulate else 1.0
    return conv(x, kernel * d), d


def place_features(height, width, dim, lowest, highest):
    """[sin a(column), cos a(column), sin a(row), cos a(row)] of each pixel, `[H, W, dim]`."""
    angles = highest * (lowest / highest) ** (np.arange(dim // 4) / (dim // 4 - 1))
    features = np.zeros((height, width, dim))
    for row in range(height):
        for column in range(width):
            c = np.linspace(-1, 1, width)[column] * angles
            r = np.linspace(-1, 1, height)[row] * angles
            features[row, column] = np.concatenate([np.sin(c), np.cos(c), np.sin(r), np.cos(r)])
    return features


def attention(weights, name, x, tokens, x_positions, token_positions, epsilon, offset=0.0):
    """x `[n, C]` attends to tokens `[T, m]`: RMS(x)·(1 + out(p v))."""
    q = dense(weights, f"{name}/query", x) + dense(weights, f"{name}/query_position", x_positions)
    k = dense(weights, f"{name}/key", tokens) + dense(weights, f"{name}/key_position", token_positions)
    p = softmax(q @ k.T / np.sqrt(k.shape[-1]) + offset)
    out = dense(weights, f"{name}/out", p @ dense(weights, f"{name}/value", tokens))
    return rms_norm(x, epsilon) * (1 + out)


def time_embedding(time, dim):
    f = 10000.0 ** (-np.arange(dim // 2) / (dim // 2 - 1))
    return np.concatenate([np.sin(time * f), np.cos(time * f)])


def mapper(weights, settings, time, label=None):
    """Tokens `[depth, T + 1, width]`; the global one is the last."""
    embedding = time_embedding(time, settings.token_width) @ weights["time_table"]
    if label is not None:
        embedding = np.concatenate([embedding, label @ weights["label_table"]])
    x = np.tile(embedding, (settings.tokens + 1, 1))
    if settings.token_content:
        x = rms_norm(x + weights["content_table"], settings.epsilon)
    local, style = x[:-1], x[-1:]
    if not settings.token_content:
        local = rms_norm(local, settings.epsilon)
    positions = weights["position_table"]
    blocks = settings.mapper_blocks
    for block in range(blocks):
        name = f"attention_{block}"
        local = attention(weights, name, local, local, positions, positions, settings.epsilon, settings.logit_offset)
        local = lrelu(dense(weights, f"local_{2 * block}", local, 0.01))
        local = dense(weights, f"local_{2 * block + 1}", local, 0.01)
        style = lrelu(dense(weights, f"global_{2 * block}", style, 0.01))
        style = dense(weights, f"global_{2 * block + 1}", style, 0.01)
    local = lrelu(dense(weights, f"local_{2 * blocks}", local, 0.01))
    style = lrelu(dense(weights, f"global_{2 * blocks}", style, 0.01))
    return np.tile(np.concatenate([local, style]), (settings.cascades * settings.layers_per_cascade, 1, 1))


def styled_layer(weights, name, x, tokens, settings, with_attention):
    y, d = modulated_conv(weights, f"{name}/modulated", x, tokens[-1])
    if not with_attention:
        return d * lrelu(y / d + weights[f"{name}/bias"])
    height, width, channels = y.shape
    places = place_features(height, width, settings.token_width, settings.lowest_angle, settings.highest_angle).reshape(
        height * width, -1
    )
    flat = y.reshape(-1, channels)
    positions = weights["token_positions"]
    y = attention(weights, f"{name}/attention", flat, tokens[:-1], places, positions, settings.epsilon)
    y = y.reshape(height, width, channels)
    if settings.noise_maps != "none":
        y = y + weights[f"{name}/noise_strength"] * weights[f"{name}/noise"]
    return lrelu(y + weights[f"{name}/bias"])


def data_consistency(z, kspace, mask, maps):
    """Measured samples of every coil in place of those of `S_c z`, combined by least squares; z where no coil sees."""
    samples = np.where(mask > 0, kspace, sense_numpy.fft2c(maps * z))
    combined, energy = (np.conj(maps) * sense_numpy.ifft2c(samples)).sum(0), (abs(maps) ** 2).sum(0)
    return np.where(energy > 0, combined / np.where(energy > 0, energy, 1), z)


def proximal(z, kspace, mask, maps, mu, iterations):
    """Conjugate gradients from z on `(A^H A + mu) x = A^H y + mu z` (Hestenes & Stiefel, 1952)."""
    maps = np.ones_like(kspace) if maps is None else maps

    def adjoint(y):
        return (maps.conj() * sense_numpy.ifft2c(mask * y)).sum(0)

    def normal(x):
        return adjoint(sense_numpy.fft2c(maps * x)) + mu * x

    x = z.astype(complex)
    residual = direction = adjoint(kspace) + mu * z - normal(z)
    for _ in range(iterations):
        moved, size = normal(direction), np.vdot(residual, residual).real
        if size == 0:
            break
        step = size / np.vdot(direction, moved).real
        x, residual = x + step * direction, residual - step * moved
        direction = residual + np.vdot(residual, residual).real / size * direction
    return x


def padded_consistency(z, kspace, mask, maps):
    """The same for the centre of a larger image; the rest becomes zero."""
    height, width = kspace.shape[-2:]
    top, left = z.shape[0] // 2 - height // 2, z.shape[1] // 2 - width // 2
    out = np.zeros_like(z)
    inside = np.s_[top : top + height, left : left + width]
    out[inside] = data_consistency(z[inside], kspace, mask, maps)
    return out


def patches(x, p):
    """Space to depth, `[H, W, n]` with zeros below and right: pixel (i, j) of a patch is at channels (i p + j) n."""
    height, width = -(-x.shape[0] // p) * p, -(-x.shape[1] // p) * p
    x = np.pad(x, ((0, height - x.shape[0]), (0, width - x.shape[1]), (0, 0)))
    return np.concatenate([x[i::p, j::p] for i in range(p) for j in range(p)], -1)


def unpatched(x, p, size):
    out = np.zeros((x.shape[0] * p, x.shape[1] * p, 2))
    for i in range(p):
        for j in range(p):
            out[i::p, j::p] = x[..., 2 * (i * p + j) : 2 * (i * p + j) + 2]
    return out[: size[0], : size[1]]


def channels(z, p):
    return patches(np.stack([z.real, z.imag], -1), p)


def image_of(x, p, size):
    pixels = unpatched(x, p, size)
    return pixels[..., 0] + 1j * pixels[..., 1]


def denoiser(weights, settings, noisy, tokens, kspace, mask, maps):
    """The clean image of one noisy image `[H, W]`; k-space `[C, h, w]`, mask `[1, h, w]`."""
    p, size, c = settings.patch, noisy.shape, settings.residual_scale

    def seen(z):
        return np.where((maps == 0).all(0), 0, z) if settings.zero_unseen and maps is not None else z

    def consistent(z):
        if settings.consistency == "proximal":
            return seen(proximal(z, kspace, mask, maps, settings.consistency_weight, settings.consistency_iterations))
        return seen(padded_consistency(z, kspace, mask, maps))

    image = consistent(np.zeros_like(noisy))
    if settings.begin == "cg_sense":
        image = seen(proximal(np.zeros_like(noisy), kspace, mask, maps, 0.01, 10))
    pixels = [channels(noisy, p)] + ([channels(image, p)] if settings.condition_on_input else [])
    x = equalised_conv(weights, "stem", np.concatenate(pixels, -1), bias=False)
    for cascade in range(settings.cascades):
        y = x
        for layer in range(cascade * settings.layers_per_cascade, (cascade + 1) * settings.layers_per_cascade):
            every = settings.attention_every
            with_attention = every > 0 and (layer + 1) % every == 0
            y = styled_layer(weights, f"styled_{layer}", y, tokens[layer], settings, with_attention)
        x = c * (y + x)
        change = image_of(equalised_conv(weights, f"to_image_{cascade}", x), p, size)
        image = consistent(image + change if settings.image_residual else change)
        x = c * (lrelu(equalised_conv(weights, f"to_features_{cascade}", channels(image, p))) + x)
    y, _ = modulated_conv(weights, "head", x, tokens[-1, -1], demodulate=False)
    change = image_of(y + weights["head/convolution/bias"], p, size)
    return consistent(image + change if settings.image_residual else change)
