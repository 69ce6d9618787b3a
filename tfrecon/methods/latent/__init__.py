"""Latent diffusion: a prior of an autoencoder's latents, and images that agree with the data."""
