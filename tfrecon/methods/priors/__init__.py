"""What methods that reconstruct with a diffusion prior share: data steps, samplers, steps one by one, checks.

It is no method itself. A method gives it a prior, options and a path; see `sampling` and `reconstruction`.
"""
