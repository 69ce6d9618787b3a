"""Records on disk, readers of raw formats, synthetic data and the tf.data pipeline."""
