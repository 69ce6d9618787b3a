"""Reconstruction methods under one contract; see `tfrecon.methods.base`."""
