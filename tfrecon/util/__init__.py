"""Small things that every layer may use: complex numbers, shapes, randomness, files, errors."""
