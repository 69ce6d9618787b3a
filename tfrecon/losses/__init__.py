"""Training losses, one number for each example: in k-space on held-out samples, and on images."""
