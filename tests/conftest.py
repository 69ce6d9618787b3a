"""Makes the plain NumPy transcriptions of tests/reference importable by every test."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent / "reference"))
