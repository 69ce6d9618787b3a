"""The prior that knows the measurement: noise on unsampled k-space alone."""
