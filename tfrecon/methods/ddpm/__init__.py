"""Improved DDPM as a prior of complex images, and reconstruction of any number of coils by sampling."""
