"""Writes the training data of an experiment as plain arrays, for tools/train_jax.py.

python tools/export_training_arrays.py --config=FILE.py --config.data.train=data/train --output=arrays

Each record once, as training sees it: undersampled, divided by its scale, with the fields that the method
wants. The folder is written whole or not at all; see `tfrecon.train.arrays`.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

from absl import flags

from tfrecon.cli.config_flags import ConfigFlagValues
from tfrecon.cli.quiet import quiet_tensorflow
from tfrecon.util.errors import InputError

if TYPE_CHECKING:
    from tfrecon.train.arrays import Arrays
    from tfrecon.train.config import Experiment

FLAGS = ConfigFlagValues()

flags.DEFINE_string(
    "config", None, "config file of the experiment. --config.SECTION.KEY=VALUE changes a value", flag_values=FLAGS
)
flags.DEFINE_string("output", None, "folder of the arrays", flag_values=FLAGS)
flags.DEFINE_integer("max", None, "at most so many records", lower_bound=1, flag_values=FLAGS)


def read_records(experiment: Experiment, most: int | None = None) -> Iterator[Arrays]:
    """The records that an experiment is trained on, one at a time, as batches of one.

    Raises:
        InputError: no such dataset, a damaged record, or records without what the method wants.
    """
    import tensorflow as tf

    from tfrecon.data.pipeline import dataset
    from tfrecon.train.loop import training_fields
    from tfrecon.util.progress import progress

    data = experiment.data
    if data.buckets:
        raise InputError("arrays hold records at their own sizes", fix="set data.buckets=0 and data.pixels_per_batch=0")
    records = dataset(
        data.train,
        batch_size=1,
        seed=experiment.seed,
        undersample=data.undersample or None,
        mask_seed=data.mask_seed,
        fields=training_fields(experiment, experiment.make_method()),
        pad_coils=data.pad_coils,
    )
    try:
        yield from progress(itertools.islice(records.as_numpy_iterator(), most), "records", unit="record")
    except tf.errors.DataLossError as error:
        raise InputError(f"a record is damaged ({error.message})", data.train, "convert the data again") from error


def main(words: list[str]) -> int:
    """Writes the arrays; the exit code is 0, or 2 on bad input."""
    try:
        FLAGS(words)
        missing = [f"--{name}" for name in ("config", "output") if not FLAGS[name].value]
        if missing:
            raise InputError(f"{' and '.join(missing)} must be given")
        from tfrecon.train.arrays import write_arrays
        from tfrecon.train.config_file import read_experiment_file

        experiment = read_experiment_file(FLAGS.config, FLAGS.overrides)
        index = write_arrays(FLAGS.output, read_records(experiment, FLAGS.max), experiment.to_json())
    except (InputError, flags.Error, OSError) as error:
        print(f"export_training_arrays: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    print(f"wrote {FLAGS.output}: {index['records']} records in {len(index['parts'])} files")
    print(f"next: python tools/train_jax.py --arrays={FLAGS.output} --workdir=RUN")
    return 0


if __name__ == "__main__":
    if any(word in ("-h", "--help") for word in sys.argv[1:]):
        print(f"{__doc__}\nflags:{FLAGS.get_help(include_special_flags=False)}")
        sys.exit(0)
    quiet_tensorflow()
    sys.exit(main(sys.argv))
