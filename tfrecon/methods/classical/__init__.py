"""Methods without training: zero-filled, CG-SENSE, l1-wavelet and total variation."""
