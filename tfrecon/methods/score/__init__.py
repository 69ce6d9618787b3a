"""Diffusion priors of images, and reconstruction by sampling from the posterior: score-MRI, HFS-SDE, DDS, PaDIS."""
