"""The few facts of an ISMRMRD XML header that reading fastMRI's files needs."""

from __future__ import annotations

import dataclasses
import xml.etree.ElementTree as ElementTree

import numpy as np

from tfrecon.util.errors import InputError

_NAMESPACE = "{http://www.ismrm.org/ISMRMRD}"


@dataclasses.dataclass(frozen=True)
class Header:
    """Sizes and encoding limits; axes are x (readout), y (phase encoding), z.

    Attributes:
        encoded_matrix: of the acquired k-space, zero-filled edges counted.
        encoded_fov: field of view of it, mm.
        recon_matrix: of the reconstructed image.
        recon_fov: field of view of it, mm.
        phase_limits: (centre, maximum) of the phase-encoding step, or None if not given.
    """

    encoded_matrix: tuple[int, int, int]
    encoded_fov: tuple[float, float, float]
    recon_matrix: tuple[int, int, int]
    recon_fov: tuple[float, float, float]
    phase_limits: tuple[int, int] | None

    def acquired_lines(self, width: int) -> np.ndarray:
        """uint8 `[width]`, zero on the lines at the edges that were zero-filled and not acquired.

        Lines 0 … maximum were acquired, and line `centre` lies at width//2.
        """
        lines = np.ones(width, np.uint8)
        if self.phase_limits is None or width != self.encoded_matrix[1]:
            return lines
        centre, maximum = self.phase_limits
        first = width // 2 - centre
        last = first + maximum
        if not 0 <= first <= width // 2 <= last < width:
            return lines  # limits that do not describe this k-space
        lines[:first] = 0
        lines[last + 1 :] = 0
        return lines

    def readout_without_oversampling(self, height: int) -> int:
        """Height of the image that covers the reconstructed field of view along the readout."""
        if self.encoded_fov[0] > 0 and self.recon_fov[0] > 0:
            return max(1, round(height * self.recon_fov[0] / self.encoded_fov[0]))
        return self.recon_matrix[0]

    def voxel_size(self, height: int) -> list[float]:
        """Millimetres along H, W and slice. The readout's is that of the encoded matrix; cropping keeps it."""
        slice_size = self.recon_fov[2] / max(1, self.recon_matrix[2])
        return [self.encoded_fov[0] / height, self.encoded_fov[1] / self.encoded_matrix[1], slice_size]


def parse_header(text: bytes | str, where: str) -> Header:
    """Reads an ISMRMRD XML header.

    Raises:
        InputError: it is not XML or lacks the encoded and reconstructed spaces.
    """
    try:
        root = ElementTree.fromstring(text)
        encoding = _child(root, "encoding")
        spaces = []
        for name in ("encodedSpace", "reconSpace"):
            space = _child(encoding, name)
            spaces += [_triple(_child(space, "matrixSize"), int), _triple(_child(space, "fieldOfView_mm"), float)]
        limits = encoding.find(f"{_NAMESPACE}encodingLimits/{_NAMESPACE}kspace_encoding_step_1")
        phase_limits = None
        if limits is not None:
            phase_limits = (int(_child(limits, "center").text), int(_child(limits, "maximum").text))
    except (ElementTree.ParseError, ValueError, TypeError) as error:
        raise InputError(f"key 'ismrmrd_header' cannot be read ({error})", where, "get the file again") from error
    return Header(*spaces, phase_limits)


def _child(element: ElementTree.Element, name: str) -> ElementTree.Element:
    child = element.find(_NAMESPACE + name)
    if child is None:
        raise ValueError(f"it lacks {name}")
    return child


def _triple(element: ElementTree.Element, kind: type) -> tuple:
    return tuple(kind(float(_child(element, axis).text)) for axis in "xyz")
