"""Sampling from a diffusion prior against its own limits: the bare network, many samples at once, the published size.

- A network call inside a sampler, everything counted, over one call of the network and one data step alone.
- Eight posterior samples of a slice over eight times one.
- A second slice of the same shape over the first, which compiles; the note says how often anything was traced again.
- What a network call takes with NCSN++ at the published size (61.4 million parameters) on a 320 x 320 slice, and the
  memory of that, in a process of its own.
"""

import pathlib
import resource
import subprocess
import sys
import time

import numpy as np
import tensorflow as tf

from benchmarks import timing
from tfrecon.data.coil_simulation import birdcage_maps
from tfrecon.methods.base import get_method
from tfrecon.methods.score.data_steps import DataTerm
from tfrecon.methods.score.options import ScoreOptions
from tfrecon.methods.score.presets import score_small, ve_published
from tfrecon.serve.compile import compiled_reconstruct
from tfrecon.typing import Measurement
from tfrecon.util.rng import make_seed

CASES = ((1, 128, 20), (8, 256, 10))
"""Coils, height and width, network calls."""

SAMPLES, REPEATS = 8, 5
PUBLISHED_SIZE, PUBLISHED_CALLS = 320, 4
ROOT = pathlib.Path(__file__).parents[1]


class Counted:
    """A network that counts how often it is called from Python: once when a graph is traced."""

    def __init__(self, network):
        self._network = network
        self.calls = 0

    def __call__(self, inputs, training=False):
        self.calls += 1
        return self._network(inputs, training=training)


def measure_slice(coils, size, seed=0):
    """Noise in a quarter of the lines: what is in an image does not matter for time."""
    generator = np.random.default_rng(seed)
    mask = np.zeros((1, 1, 1, size), np.float32)
    mask[..., ::4] = mask[..., size // 2 - 8 : size // 2 + 8] = 1
    kspace = generator.standard_normal((1, coils, size, size, 2), np.float32).view(np.complex64)[..., 0] * mask
    maps = birdcage_maps(coils, (size, size)).astype(np.complex64)[None]
    return Measurement(*(tf.constant(field) for field in (kspace, mask, maps, np.full(1, 0.01, np.float32))))


def small_prior():
    method = get_method("score", score_small().model)
    return method, method.build()


def network_call(coils, size, calls, repeats=REPEATS):
    """A call inside DDS over the network and the data step alone."""
    method, models = small_prior()
    options, measurement = ScoreOptions(nfe=calls), measure_slice(coils, size)
    reconstruct = compiled_reconstruct(method, options, models)
    term = DataTerm(measurement)

    @tf.function(autograph=False)
    def alone(image, label, estimate):
        output = models["network"]({"image": image, "time": label}, training=False)
        return output, term.near(estimate, 0.1, options.cg_iterations)

    image, label = tf.random.normal((1, size, size, 2)), tf.constant([-0.5])
    estimate = tf.complex(*(tf.random.normal((1, size, size)) for _ in range(2)))
    functions = {
        "sampler": lambda: reconstruct(measurement, make_seed(0)).image.numpy(),
        "alone": lambda: [value.numpy() for value in alone(image, label, estimate)],
    }
    seconds = timing.interleaved(functions, repeats)
    name = f"score_small, a network call in DDS, {coils} coils {size}x{size}"
    note = f"{calls} calls; all that a sampler does besides is counted"
    return timing.line(name, seconds["sampler"] / calls, "its network and data step alone", seconds["alone"], note)


def many_samples(coils, size, calls, repeats=REPEATS):
    """Several samples in one batch over as many runs."""
    method, models = small_prior()
    measurement, functions = measure_slice(coils, size), {}
    for samples in (1, SAMPLES):
        reconstruct = compiled_reconstruct(method, ScoreOptions(nfe=calls, samples=samples), models)
        functions[samples] = lambda reconstruct=reconstruct: reconstruct(measurement, make_seed(0)).image.numpy()
    seconds = timing.interleaved(functions, repeats)
    name = f"score_small, {SAMPLES} posterior samples, {calls} calls, {coils} coils {size}x{size}"
    return timing.line(name, seconds[SAMPLES], f"{SAMPLES} times one sample", SAMPLES * seconds[1])


def second_slice(coils, size, calls):
    """The second slice of a shape over the first."""
    method, models = small_prior()
    counted = Counted(models["network"])
    reconstruct = compiled_reconstruct(method, ScoreOptions(nfe=calls), {"network": counted})
    seconds, traced = [], []
    for number in range(2):
        start = time.perf_counter()
        reconstruct(measure_slice(coils, size, number), make_seed(number)).image.numpy()
        seconds.append(time.perf_counter() - start)
        traced.append(counted.calls)
    name = f"score_small, second slice of a shape, {calls} calls, {coils} coils {size}x{size}"
    note = f"{traced[1] - traced[0]} retraces"
    return timing.line(name, seconds[1], "the first slice, with tracing", seconds[0], note)


def print_published(size, calls):
    """Seconds of one network call with the published network, its parameters, and the peak memory of this process."""
    preset = ve_published()
    method = get_method("score", preset.model)
    models = method.build()
    options = ScoreOptions("pc", nfe=calls, spacing="linear", data_step="projection", data_at="state")
    reconstruct = compiled_reconstruct(method, options, models)
    seconds = []
    for number in range(2):  # the first compiles
        start = time.perf_counter()
        reconstruct(measure_slice(1, size, number), make_seed(0)).image.numpy()
        seconds.append(time.perf_counter() - start)
    weights = sum(int(np.prod(variable.shape)) for variable in models["network"].trainable_variables)
    print("RESULT", seconds[1] / calls, weights, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)


def published_size(size=PUBLISHED_SIZE, calls=PUBLISHED_CALLS):
    """What a network call takes at the published size."""
    code = f"from benchmarks.score_sampler import print_published; print_published({size}, {calls})"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    seconds, weights, peak = (float(word) for word in found.stdout.split("RESULT")[1].split()[:3])
    note = f"{int(weights):,} weights; a call sees real and imaginary part; peak memory {peak / 2**30:.1f} GiB"
    return timing.line(f"published NCSN++, a network call in PC, 1 x {size}x{size}", seconds, "none", None, note)


def run():
    lines = [network_call(*case) for case in CASES]
    lines += [many_samples(*CASES[0]), second_slice(*CASES[0])]
    return [*lines, published_size()]
