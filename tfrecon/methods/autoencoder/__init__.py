"""Autoencoders of complex images: the first of the two stages of latent diffusion (Rombach et al., CVPR 2022)."""
