"""Training on images of several sizes against images of one size, at equal pixels.

The same U-Net trains through the whole pipeline (records, simulated masks, scale, padding) and the trainer's step, on
buckets of several sizes and on one size, in turns. Times are for a million pixels of batches, padding included, and
for a million pixels of images, where padding counts against the mixed sizes. The note says how often a step
was traced, and how often again once each bucket had been.
"""

import pathlib
import tempfile
import time

import numpy as np
import tensorflow as tf
from keras import ops

from benchmarks import timing
from benchmarks.train_step import Denoise, unet
from tfrecon.data.buckets import plan_buckets
from tfrecon.data.dataset_info import read_dataset_info
from tfrecon.data.synthetic import ellipse_phantom, simulate_acquisition
from tfrecon.data.tfrecord import write_dataset
from tfrecon.data.transforms import Undersampling
from tfrecon.diffusion.objectives import pixel_mean
from tfrecon.methods.base import NoSettings, TrainingImages
from tfrecon.train.config import DataSettings, Experiment
from tfrecon.train.loop import training_batches, training_buckets
from tfrecon.train.state import create_state
from tfrecon.train.step import make_train_step
from tfrecon.util import rng
from tfrecon.util.complex import energy, to_channels, to_complex

ONE = ((128, 160),)
MIXED = ((128, 160), (128, 146), (120, 128), (96, 128), (93, 121))
MULTIPLE, PIXELS = 32, 4 * 128 * 160
RECORDS, COILS, STEPS, REPEATS = 40, 4, 6, 7


class DenoiseImages(Denoise):
    """Takes noise off references of any size; counts how often its loss is traced."""

    def __init__(self):
        super().__init__(NoSettings(), NoSettings())
        self.traced = 0

    def fields(self):
        return ("reference",)

    def build(self, seed=0):
        return {"unet": unet()}

    def training_images(self):
        return TrainingImages("reference", lambda batch: ops.cast(batch["reference"], "complex64"))

    def loss(self, models, batch, seeds, training):
        self.traced += 1
        image, valid = self.training_images().of(batch)
        noisy = image + 0.1 * rng.complex_normal(seeds, ops.shape(image))
        output = to_complex(models["unet"](to_channels(noisy), training=training))
        return pixel_mean(energy(output - image), valid), {}


class Training:
    """A training that goes on for some steps each time it is called, until then as long as a bucket is new."""

    def __init__(self, folder, sizes):
        write_dataset(folder, list(_records(sizes)))
        self.method = DenoiseImages()
        lines = (Undersampling("random1d", 4, acs_lines=12),)
        data = DataSettings(str(folder), undersample=lines, buckets=MULTIPLE, pixels_per_batch=PIXELS)
        experiment = Experiment("denoise", self.method.model, self.method.objective, None, data)
        state = create_state(experiment, self.method)
        self._step = make_train_step(experiment, self.method, state)
        self._batches = iter(training_batches(experiment, self.method, tf.distribute.get_strategy(), 0))
        images = training_buckets(experiment, self.method)
        self.buckets = len(plan_buckets(read_dataset_info(folder).groups, images))
        seen = set()
        while len(seen) < self.buckets:
            seen.add(self._advance())
        self.warm = self.method.traced
        self.pixels = self.image_pixels = 0

    def _advance(self):
        batch = next(self._batches)
        self._step(batch).loss.numpy()
        self._latest = batch
        return tuple(batch["image"].shape)

    def __call__(self):
        """Seconds for a million pixels of batches."""
        seconds = pixels = 0
        for _ in range(STEPS):
            start = time.perf_counter()
            shape = self._advance()
            seconds += time.perf_counter() - start
            pixels += int(np.prod(shape))
            self.image_pixels += int(self._latest["valid"].numpy().sum())
        self.pixels += pixels
        return 1e6 * seconds / pixels

    @property
    def image_share(self):
        """Of the pixels of its batches, those that are no padding."""
        return self.image_pixels / self.pixels


def _records(sizes):
    for number in range(RECORDS):
        image = ellipse_phantom(sizes[number % len(sizes)], seed=number)
        name = f"v{number // 10}"
        settings = {"coils": COILS, "store_maps": True, "volume_id": name, "slice_index": number % 10}
        yield simulate_acquisition(image, record_id=f"{name}/{number:03d}", **settings)


def run():
    with tempfile.TemporaryDirectory() as name:
        jobs = {key: Training(pathlib.Path(name) / key, sizes) for key, sizes in (("mixed", MIXED), ("one", ONE))}
        seconds = timing.interleaved(jobs, REPEATS)
        mixed = jobs["mixed"]
    again = mixed.method.traced - mixed.warm
    note = (
        f"{mixed.buckets} buckets traced {mixed.warm} times, {again} times again; "
        f"{1 - mixed.image_share:.1%} of the pixels are padding"
    )
    of_images = {key: seconds[key] / job.image_share for key, job in jobs.items()}
    peer = f"one size, {ONE[0][0]}x{ONE[0][1]}"
    return [
        timing.line("training on mixed sizes, a million pixels", seconds["mixed"], peer, seconds["one"], note),
        timing.line(
            "training on mixed sizes, a million image pixels", of_images["mixed"], peer, of_images["one"], note
        ),
    ]
