"""Records on disk, readers of raw formats, synthetic data and the tf.data pipeline."""

from tfrecon.data.memory import keep_freed_memory

keep_freed_memory()
