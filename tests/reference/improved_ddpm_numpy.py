"""Improved DDPM (Nichol & Dhariwal, ICML 2021) in plain NumPy, float64, written from the published equations.

Chains are lists of betas, a shortened chain is a new list, times count within it; images are real channels
`[..., n]` with noise of variance one in each, unless a function says otherwise.
"""

import math

import numpy as np
import score_networks_numpy as networks

# Chains


def linear_betas(steps):
    scale = 1000 / steps
    return np.array([scale * (1e-4 + (0.02 - 1e-4) * t / (steps - 1)) for t in range(steps)])


def cosine_betas(steps):
    def kept(part):
        return math.cos((part + 0.008) / 1.008 * math.pi / 2) ** 2

    return np.array([min(1 - kept((t + 1) / steps) / kept(t / steps), 0.999) for t in range(steps)])


def times_in_sections(counts, steps):
    """Rising times; each section's stride is a fraction, positions are added up and rounded."""
    size, extra = divmod(steps, len(counts))
    first, times = 0, []
    for number, count in enumerate(counts):
        length = size + 1 if number < extra else size
        stride = 1 if count == 1 else (length - 1) / (count - 1)
        position = 0.0
        for _ in range(count):
            times.append(first + round(position))
            position += stride
        first += length
    return times


def times_with_stride(count, steps):
    for stride in range(1, steps):
        if len(range(0, steps, stride)) == count:
            return list(range(0, steps, stride))
    raise ValueError(count)


def shortened(betas, times):
    """The betas of a chain that keeps some times; the step that a new beta belongs to keeps its old number."""
    short, last = [], 1.0
    kept = np.cumprod(1 - np.asarray(betas))
    for time in times:
        short.append(1 - kept[time] / last)
        last = kept[time]
    return np.array(short)


class Chain:
    """What follows from betas."""

    def __init__(self, betas):
        self.betas = np.asarray(betas, float)
        self.kept = np.cumprod(1 - self.betas)
        self.before = np.append(1.0, self.kept[:-1])
        self.of_image = self.betas * np.sqrt(self.before) / (1 - self.kept)
        self.of_state = (1 - self.before) * np.sqrt(1 - self.betas) / (1 - self.kept)
        self.variance = self.betas * (1 - self.before) / (1 - self.kept)
        self.log_variance = np.log(np.append(self.variance[1:2], self.variance[1:]))

    def image_from_noise(self, state, noise, t):
        return (state - np.sqrt(1 - self.kept[t]) * noise) / np.sqrt(self.kept[t])


# Losses of one image


def bound_term(chain, image, state, noise_said, variance_said, t):
    """Bits per channel of the bound's term at time t; the network's two outputs for the state."""
    said = chain.image_from_noise(state, noise_said, t)
    mean = chain.of_image[t] * said + chain.of_state[t] * state
    share = (variance_said + 1) / 2
    log_variance = share * np.log(chain.betas[t]) + (1 - share) * chain.log_variance[t]
    if t == 0:
        nats = 0.5 * (np.log(2 * np.pi) + log_variance + (image - mean) ** 2 / np.exp(log_variance))
    else:
        true_mean = chain.of_image[t] * image + chain.of_state[t] * state
        true = chain.log_variance[t]
        nats = 0.5 * (
            log_variance - true - 1 + np.exp(true - log_variance) + (true_mean - mean) ** 2 / np.exp(log_variance)
        )
    return np.mean(nats) / np.log(2)


def hybrid_loss(chain, image, noise, state, noise_said, variance_said, t):
    """(loss, squared error, bound): L_simple + L_vlb/1000 with one random term of the bound."""
    simple = np.mean((noise_said - noise) ** 2)
    bound = bound_term(chain, image, state, noise_said, variance_said, t)
    return simple + bound * len(chain.betas) / 1000, simple, bound


def sample(network, betas, times, state, noises):
    """Ancestral sampling with learned variance on the chain of rising `times`; noises by step taken.

    `network(state, original time)` gives the noise and the output for the variance.
    """
    chain = Chain(shortened(betas, times))
    for taken, step in enumerate(reversed(range(len(times)))):
        noise_said, variance_said = network(state, times[step])
        said = chain.image_from_noise(state, noise_said, step)
        mean = chain.of_image[step] * said + chain.of_state[step] * state
        if step == 0:
            return mean
        share = (variance_said + 1) / 2
        log_variance = share * np.log(chain.betas[step]) + (1 - share) * chain.log_variance[step]
        state = mean + np.exp(0.5 * log_variance) * noises[taken]
    raise ValueError("no times")


# Importance sampling


class SecondMoments:
    """Lists of the last losses at each time."""

    def __init__(self, steps, history=10, uniform=0.001):
        self.lists = [[] for _ in range(steps)]
        self.history, self.uniform = history, uniform

    def update(self, times, losses):
        for time, loss in zip(times, losses, strict=True):
            self.lists[time] = [*self.lists[time], float(loss)][-self.history :]

    def probabilities(self):
        steps = len(self.lists)
        if any(len(losses) < self.history for losses in self.lists):
            return np.ones(steps) / steps
        roots = np.array([np.sqrt(np.mean(np.square(losses))) for losses in self.lists])
        return roots / roots.sum() * (1 - self.uniform) + self.uniform / steps


# The network


def block(weights, name, x, embedding):
    """A residual block that time scales and shifts; `name` ends with a slash."""
    h = networks.swish(networks.group_norm(weights, f"{name}norm_in", x, networks.groups_of(x.shape[-1])))
    h = networks.convolution(weights, f"{name}conv_in", h)
    time = networks.dense(weights, f"{name}project_time", networks.swish(embedding))
    scale, shift = np.split(time, 2)
    h = networks.group_norm(weights, f"{name}norm_out", h, networks.groups_of(h.shape[-1])) * (1 + scale) + shift
    h = networks.convolution(weights, f"{name}conv_out", networks.swish(h))
    return (networks.convolution(weights, f"{name}shortcut", x) if f"{name}shortcut/kernel" in weights else x) + h


def attention(weights, name, x, heads):
    """Self-attention of pixels, each head by itself; `name` ends with a slash."""
    channels = x.shape[-1]
    width = channels // heads
    normal = networks.group_norm(weights, f"{name}norm", x, networks.groups_of(channels))
    parts = [networks.convolution(weights, f"{name}{part}", normal).reshape(-1, channels) for part in ("query", "key")]
    value = networks.convolution(weights, f"{name}value", normal).reshape(-1, channels)
    joined = []
    for head in range(heads):
        own = slice(head * width, (head + 1) * width)
        logits = parts[0][:, own] @ parts[1][:, own].T / np.sqrt(width)
        exponentials = np.exp(logits - logits.max(1, keepdims=True))
        joined.append(exponentials / exponentials.sum(1, keepdims=True) @ value[:, own])
    return x + networks.convolution(weights, f"{name}out", np.concatenate(joined, axis=1).reshape(x.shape))


def unet(weights, image, time, settings):
    """The U-Net for one image `[H, W, C]` whose size needs no padding; shapes are those of the settings."""
    half = settings.width // 2
    angles = time * 10000.0 ** (-np.arange(half) / (half - 1))
    features = np.concatenate([np.sin(angles), np.cos(angles)])
    embedding = networks.swish(networks.dense(weights, "embedding/dense_in", features))
    embedding = networks.dense(weights, "embedding/dense_out", embedding)

    def step(name, x, attended):
        x = block(weights, f"{name}/", x, embedding)
        return attention(weights, f"attention_{name}/", x, settings.heads) if attended else x

    levels, attended = len(settings.multipliers), settings.attention_levels
    x = networks.convolution(weights, "stem", image)
    kept = [x]
    for level in range(levels):
        for number in range(settings.blocks):
            x = step(f"encode_{level}_{number}", x, level in attended)
            kept.append(x)
        if level < levels - 1:
            x = networks.convolution(weights, f"down_{level}/convolution", x, stride=2, padding=(0, 1))
            kept.append(x)
    x = step("middle_1", step("middle_0", x, settings.bottleneck_attention), False)
    for level in reversed(range(levels)):
        for number in range(settings.blocks + 1):
            x = step(f"decode_{level}_{number}", np.concatenate([x, kept.pop()], axis=-1), level in attended)
        if level > 0:
            x = networks.convolution(weights, f"up_{level}", x.repeat(2, axis=0).repeat(2, axis=1))
    assert not kept
    x = networks.swish(networks.group_norm(weights, "head_norm", x, networks.groups_of(x.shape[-1])))
    return networks.convolution(weights, "head", x)


def parameters(settings):
    """How many numbers the network has, counted layer by layer."""

    def conv(inputs, outputs, side=3):
        return side**2 * inputs * outputs + outputs

    def residual(inputs, outputs):
        norms, time = 2 * inputs + 2 * outputs, conv(4 * settings.width, 2 * outputs, 1)
        shortcut = conv(inputs, outputs, 1) if inputs != outputs else 0
        return norms + time + conv(inputs, outputs) + conv(outputs, outputs) + shortcut

    def pixels(channels):
        return 2 * channels + 4 * conv(channels, channels, 1)

    width = settings.width
    total = conv(width, 4 * width, 1) + conv(4 * width, 4 * width, 1)
    total += conv(settings.channels + settings.extra_channels, width)
    channels, kept = width, [width]
    for level, multiplier in enumerate(settings.multipliers):
        for _ in range(settings.blocks):
            total += residual(channels, width * multiplier)
            channels = width * multiplier
            total += pixels(channels) if level in settings.attention_levels else 0
            kept.append(channels)
        if level < len(settings.multipliers) - 1:
            total += conv(channels, channels)
            kept.append(channels)
    total += 2 * residual(channels, channels) + pixels(channels)
    for level in reversed(range(len(settings.multipliers))):
        for _ in range(settings.blocks + 1):
            outputs = width * settings.multipliers[level]
            total += residual(channels + kept.pop(), outputs)
            channels = outputs
            total += pixels(channels) if level in settings.attention_levels else 0
        total += conv(channels, channels) if level else 0
    return total + 2 * channels + conv(channels, settings.channels * (2 if settings.learned_variance else 1))
