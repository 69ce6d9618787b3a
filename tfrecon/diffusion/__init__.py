"""Diffusion: paths from an image to noise, and samplers that go back."""
