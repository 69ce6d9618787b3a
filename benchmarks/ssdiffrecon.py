"""SSDiffRecon against its own limits: convolutions and transforms alone, data from memory, the published size.

- One call of the networks over the same convolutions and Fourier transforms with nothing in between.
- A training step on batches of the pipeline over one on a batch that lies in memory.
- What a training step and a reconstruction with five network calls take at the published size (256 x 256,
  128 channels), and the memory of that step, in a process of its own.
"""

import dataclasses
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import tensorflow as tf

from benchmarks import timing
from tfrecon.data.synthetic import ellipse_phantom, simulate_acquisition
from tfrecon.data.tfrecord import write_dataset
from tfrecon.methods.base import get_method
from tfrecon.methods.ssdiffrecon.model import SSDiffReconModel, fixed, small
from tfrecon.methods.ssdiffrecon.network import build_networks
from tfrecon.serve.compile import compiled_reconstruct
from tfrecon.train.config import resolve_experiment
from tfrecon.train.loop import training_batches
from tfrecon.train.state import create_state
from tfrecon.train.step import make_train_step
from tfrecon.typing import Measurement
from tfrecon.util.settings import to_dictionary

NETWORKS = (("small", small(), 8, 128), ("small", small(), 1, 256), ("fixed, 128 channels", fixed(), 1, 256))
REPEATS = 9
MASK = {"kind": "gaussian2d", "acceleration": 4.0, "acs_lines": 16}


def network_call(name, settings, count, size):
    """One call of mapper and denoiser, and the same work without anything else."""
    networks, batch = build_networks(settings), inputs(count, size)

    @tf.function(autograph=False)
    def ours(batch):
        tokens = networks["mapper"]({"time": batch["time"]})
        return networks["denoiser"]({**{k: v for k, v in batch.items() if k != "time"}, "tokens": tokens})

    bare = convolutions_and_transforms(settings, count, size)
    seconds = timing.interleaved({"ours": lambda: ours(batch).numpy(), "bare": bare}, REPEATS)
    weights = sum(int(np.prod(v.shape)) for model in networks.values() for v in model.trainable_variables)
    label = f"SSDiffRecon {name}, one call, {count} x {size}x{size}"
    note = f"{weights:,} weights; {seconds['ours'] / count * 1e3:.0f} ms for one image"
    return timing.line(label, seconds["ours"], "its convolutions and FFTs alone", seconds["bare"], note)


def inputs(count, size):
    generator = np.random.default_rng(0)

    def noise(*shape):
        return generator.standard_normal((*shape, 2), np.float32).view(np.complex64)[..., 0]

    mask = (generator.random((count, 1, size, size)) < 0.25).astype(np.float32)
    batch = {"image": noise(count, size, size), "kspace": noise(count, 1, size, size) * mask, "mask": mask}
    return {key: tf.constant(value) for key, value in {**batch, "time": np.full(count, 500, np.float32)}.items()}


def convolutions_and_transforms(settings: SSDiffReconModel, count, size):
    """The convolutions of the denoiser on tensors of its shapes, one after the other, and its transforms."""
    side, pixels, channels = -(-size // settings.patch), 2 * settings.patch**2, settings.channels
    normal = tf.random.normal
    image, features = normal((count, side, side, pixels)), normal((count, side, side, channels))
    first = normal((count, side, side, pixels * (2 if settings.condition_on_input else 1)))
    kernels = {
        "stem": normal((settings.stem_kernel, settings.stem_kernel, first.shape[-1], channels)),
        "styled": normal((settings.kernel, settings.kernel, channels, channels)) / channels,
        "to_image": normal((1, 1, channels, pixels)),
        "to_features": normal((1, 1, pixels, channels)),
        "head": normal((settings.head_kernel, settings.head_kernel, channels, pixels)),
    }
    coil_images = tf.complex(normal((count, 1, size, size)), normal((count, 1, size, size)))

    @tf.function(autograph=False)
    def bare(first, image, features, coil_images):
        def convolve(x, name):
            return tf.nn.conv2d(x, kernels[name], 1, "SAME")

        kept = [convolve(first, "stem"), convolve(features, "head")]
        for _ in range(settings.depth):
            features = convolve(features, "styled")
        for _ in range(settings.cascades):
            image = convolve(convolve(image, "to_features"), "to_image")
        for _ in range(settings.cascades + 1):
            coil_images = tf.signal.ifft2d(tf.signal.fft2d(coil_images))
        kept += [features, image, tf.math.real(tf.signal.ifft2d(coil_images))]
        return [tf.gather(tf.reshape(value, [-1]), 0) for value in kept]

    return lambda: [value.numpy() for value in bare(first, image, features, coil_images)]


def pipeline_share(folder):
    """A step with the pipeline over a step with a batch in memory."""
    data = {"train": str(folder), "batch_size": 8, "undersample": [MASK]}
    experiment = resolve_experiment({"method": "ssdiffrecon", "model": to_dictionary(small()), "data": data})
    method, strategy = experiment.make_method(), tf.distribute.get_strategy()
    state = create_state(experiment, method, strategy)
    step = make_train_step(experiment, method, state, strategy)
    batches = iter(training_batches(experiment, method, strategy, 0))
    cached = next(batches)
    functions = {"records": lambda: step(next(batches)).loss.numpy(), "memory": lambda: step(cached).loss.numpy()}
    seconds = timing.interleaved(functions, REPEATS)
    name = "SSDiffRecon small, training step, 8 x 128x128, records"
    return timing.line(name, seconds["records"], "the same batch in memory", seconds["memory"])


def published_size(folder):
    """Training step and reconstruction of one 256 x 256 slice at the published size."""
    code = (
        "import sys; from tfrecon.train.config_file import read_experiment_file;"
        "from tfrecon.train.dry_run import dry_run;"
        "import dataclasses as d; e = read_experiment_file('configs/ssdiffrecon/ixi.py');"
        "e = d.replace(e, data=d.replace(e.data, train=sys.argv[1])); r = dry_run(e);"
        "print('RESULT', r.step_seconds, r.peak_bytes)"
    )
    found = subprocess.run([sys.executable, "-c", code, str(folder)], capture_output=True, text=True, check=True)
    step, peak = (float(word) for word in found.stdout.split("RESULT")[1].split()[:2])
    note = f"peak memory of the process {peak / 2**30:.1f} GiB"
    lines = [timing.line("SSDiffRecon ixi, training step, 1 x 256x256", step, "none", None, note)]
    method = get_method("ssdiffrecon", fixed())
    networks, batch = method.build(), inputs(1, 256)
    options = dataclasses.replace(method.options_type(), steps=5)
    reconstruct = compiled_reconstruct(method, options, networks)
    measurement = Measurement(batch["kspace"], batch["mask"])
    seconds = timing.interleaved({"ours": lambda: reconstruct(measurement, tf.constant([0, 1])).image.numpy()}, 5)
    name = "SSDiffRecon ixi, reconstruction, 5 network calls, 1 x 256x256"
    return [*lines, timing.line(name, seconds["ours"], "none", None)]


def write_phantoms(folder, size, count):
    records = [
        simulate_acquisition(ellipse_phantom((size, size), seed=k), record_id=f"v/{k}", volume_id="v", coils=1)
        for k in range(count)
    ]
    write_dataset(folder, records)
    return folder


def run():
    lines = [network_call(*case) for case in NETWORKS]
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        lines.append(pipeline_share(write_phantoms(folder / "128", 128, 64)))
        return lines + published_size(write_phantoms(folder / "256", 256, 2))
