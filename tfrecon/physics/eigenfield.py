"""Leading eigenvectors of a smooth field of Hermitian matrices, one C×C matrix per pixel.

Both ways of estimating coil sensitivities end here. ESPIRiT's matrices and Walsh's local covariances
are trigonometric polynomials of the position with few coefficients, so they are summed directly
(two small matrix products) instead of by one padded FFT per coil pair, a block of pixels at a time:
the field of a 15-coil 320×320 image would take 184 MB, a block of it fits a CPU's cache.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import numpy as np
from keras import ops

BAND_ROWS = 64
BLOCK_PIXELS = 512
FILTER_DEGREE = 10
LEAST_BOUND = 0.3
RESIDUAL_TOLERANCE = 0.002
"""With these the filter amplifies an eigenvalue 15 % above the floor a thousand times more than those
below it, and eigenvalues are good to 1e-3; to 2e-3 where the two largest lie that close together."""

ONE_THREAD_PRODUCTS = 1 << 15
"""Up to this many complex multiplications OpenBLAS keeps to one thread. Its other threads wait by
spinning, which costs more than they bring as soon as anything else runs on the machine. Larger products are left to
the Keras backend."""


def multiply(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The product of two large matrices by the Keras backend, whose threads do not spin; see above."""
    return ops.convert_to_numpy(ops.matmul(a, b))


def phase_ramps(size: int, first: int, count: int) -> np.ndarray:
    """`exp(2πi·k·x/size)` for centred positions x and the frequencies `first … first+count-1`.

    Args:
        size: number of pixels N; position i stands for x = i - N//2.
        first: lowest frequency.
        count: number of frequencies.

    Returns:
        complex64 `[size, count]`.
    """
    positions = np.arange(size) - size // 2
    frequencies = np.arange(first, first + count)
    # The integer product is reduced first, so that single precision keeps its digits.
    return np.exp(2j * np.pi * (np.outer(positions, frequencies) % size) / size).astype(np.complex64)


def leading_eigenvectors(
    coefficients: np.ndarray,
    shape: Sequence[int],
    start: np.ndarray,
    *,
    floor: float,
    count: int = 1,
    unit_trace: bool = False,
) -> tuple[np.ndarray, np.ndarray]:
    """The largest eigenvalues and their eigenvectors at every pixel.

    One eigenvector is found by a Chebyshev filter that damps everything below `floor`, followed by a
    direct solution where its residual has not become small; several by a direct solution throughout.

    Args:
        coefficients: complex64 `[C, C, h, w]` Fourier coefficients of the field, the origin of
            frequency at (h//2, w//2). Eigenvalues must lie in [0, 1], but for rounding.
        shape: (H, W) of the image.
        start: complex64 `[C, h', w']` Fourier coefficients of a first guess of the eigenvector, of
            any scale: the coils' low-resolution images.
        floor: eigenvalues need only be accurate from 15 % above this; they are never overestimated.
        count: how many eigenvectors per pixel.
        unit_trace: divides every matrix by its trace first, which brings positive semidefinite
            matrices of any size into range.

    Returns:
        Unit eigenvectors complex64 `[count, C, H, W]` with arbitrary phase and eigenvalues float32
        `[count, H, W]`, largest first.
    """
    coils, (height, width) = coefficients.shape[0], shape
    vectors = np.empty((count, coils, height, width), np.complex64)
    values = np.empty((count, height, width), np.float32)
    blocks = zip(_blocks(coefficients, shape), _blocks(start[None], shape, like=coefficients), strict=True)
    for (pixels, field), (_, guess) in blocks:
        if unit_trace:
            trace = np.einsum("pcc->p", field).real
            field /= np.maximum(trace, np.finfo(np.float32).tiny)[:, None, None]
        found, sizes = _filtered(field, guess[:, 0], floor) if count == 1 else _direct(field, count)
        here = values[:, *pixels].shape[1:]
        vectors[:, :, *pixels] = found.transpose(2, 1, 0).reshape(count, coils, *here)
        values[:, *pixels] = sizes.T.reshape(count, *here)
    return vectors, values


def _blocks(
    coefficients: np.ndarray, shape: Sequence[int], like: np.ndarray | None = None
) -> Iterator[tuple[tuple[slice, slice], np.ndarray]]:
    """Sums trigonometric polynomials `[A, B, h, w]` on the pixel grid, block by block.

    Yields:
        Where the block lies (rows, columns), and its values `[pixels, A, B]`. The blocks are those
        that suit `like`, or else `coefficients`.
    """
    like = coefficients if like is None else like
    outer, (h, w) = coefficients.shape[:2], coefficients.shape[2:]
    terms = np.ascontiguousarray(coefficients.transpose(2, 3, 0, 1)).reshape(h, -1)
    rows, columns = phase_ramps(shape[0], -(h // 2), h), phase_ramps(shape[1], -(w // 2), w)
    wide = max(1, ONE_THREAD_PRODUCTS // (like.shape[0] * like.shape[1] * like.shape[3]))
    high = -(-BLOCK_PIXELS // min(wide, shape[1]))
    for start in range(0, shape[0], BAND_ROWS):
        stop = min(start + BAND_ROWS, shape[0])
        partial = multiply(rows[start:stop], terms).reshape(stop - start, w, -1)
        for top, left in itertools.product(range(start, stop, high), range(0, shape[1], wide)):
            band, block = slice(top, min(top + high, stop)), slice(left, left + wide)
            values = columns[block] @ partial[top - start : band.stop - start]
            yield (band, block), values.reshape(-1, *outer)


def _direct(field: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Eigenvectors `[P, C, count]` and eigenvalues `[P, count]` of `[P, C, C]`, largest first."""
    values, vectors = np.linalg.eigh(field)
    return vectors[..., : -count - 1 : -1], values[..., : -count - 1 : -1]


def _filtered(field: np.ndarray, guess: np.ndarray, floor: float) -> tuple[np.ndarray, np.ndarray]:
    """As `_direct` with one eigenvector, from a guess `[P, C]`."""
    # The filter maps [0, bound], what it damps, onto [-1, 1]; a low bound would hardly tell the rest apart.
    bound = max(floor, LEAST_BOUND)
    vector = _unit(guess[..., None])
    previous, current = vector, (2 / bound) * (field @ vector) - vector
    for _ in range(FILTER_DEGREE - 1):
        previous, current = current, (4 / bound) * (field @ current) - 2 * current - previous
    vector = _unit(current)
    image = field @ vector
    value = np.sum(vector.real * image.real + vector.imag * image.imag, axis=1)
    residual = np.linalg.norm(image - value[..., None] * vector, axis=1)
    # A vector that missed the floor by more than its residual belongs to a pixel below the floor.
    open_pixels = ((residual > RESIDUAL_TOLERANCE) & (value + residual > floor))[:, 0]
    if open_pixels.any():
        vector[open_pixels], value[open_pixels] = _direct(field[open_pixels], 1)
    return vector, value


def _unit(vectors: np.ndarray) -> np.ndarray:
    """Vectors `[P, C, 1]` at unit length; a zero vector becomes the flat one."""
    norm = np.linalg.norm(vectors, axis=1, keepdims=True)
    flat = np.float32(1 / np.sqrt(vectors.shape[1]))
    return np.where(norm > 0, vectors / np.where(norm > 0, norm, 1), flat)
