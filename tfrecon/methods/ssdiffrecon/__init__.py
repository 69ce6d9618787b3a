"""SSDiffRecon: self-supervised reconstruction with an unrolled diffusion model."""
