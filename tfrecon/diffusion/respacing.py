"""Fewer steps than a chain has, in the notations of improved DDPM (Nichol & Dhariwal, ICML 2021).

- "N": N times, evenly spaced.
- "a,b,c": the chain is cut into as many sections of equal length as there are numbers (the first ones are a step
  longer if need be), with that many evenly spaced times in each, the first one at the image.
- "ddimN": N times, one every so many steps, as published for DDIM (Song, Meng & Ermon, ICLR 2021).
- "": all times.

A respaced chain has the published betas, `1 - alpha(S_i)² / alpha(S_{i-1})²`, by itself: `path.posterior` is exact
between any two times. And as times stay those of the chain, the network is told what it was trained with.
"""

from __future__ import annotations

import math

import numpy as np

from tfrecon.util.errors import InputError

STRIDED = "ddim"


def respaced_times(notation: str, steps: int) -> np.ndarray:
    """The times of a chain that a notation names.

    Args:
        notation: see the module.
        steps: T of the chain.

    Returns:
        int32 `[K]`, falling to the time next to the image, as samplers take them.

    Raises:
        InputError: a notation that is none, or that the chain has too few steps for.
    """
    if not notation.strip():
        return np.arange(steps, dtype=np.int32)[::-1].copy()
    strided, counts = _parse(notation)
    times = _strided(counts[0], steps) if strided else _in_sections(counts, steps)
    return times[::-1].astype(np.int32)


def count_named(notation: str) -> int:
    """How many times a notation names, of whichever chain.

    Raises:
        InputError: a notation that is none; nor is the empty one, which names as many as a chain has.
    """
    return sum(_parse(notation)[1])


def _parse(notation: str) -> tuple[bool, list[int]]:
    """Whether times have an integer stride, and how many there are in each section."""
    text = notation.strip()
    strided = text.startswith(STRIDED)
    words = [text.removeprefix(STRIDED)] if strided else text.split(",")
    return strided, [_number(word, notation) for word in words]


def _number(text: str, notation: str) -> int:
    text = text.strip()
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        fix = "write a number of steps ('50'), one for each section ('10,10,30'), or an integer stride ('ddim50')"
        raise InputError(f"respacing {notation!r} cannot be read", fix=fix)
    return int(text)


def _strided(count: int, steps: int) -> np.ndarray:
    """Times 0, s, 2s, … of the smallest stride s that gives `count` of them."""
    stride = next((s for s in range(1, steps + 1) if math.ceil(steps / s) == count), None)
    if stride is None:
        possible = sorted({math.ceil(steps / s) for s in range(1, steps + 1)})
        below = [n for n in possible if n < count][-1:]
        above = [n for n in possible if n > count][:1]
        fix = f"give {' or '.join(f'{STRIDED}{n}' for n in (*below, *above))}"
        raise InputError(f"no integer stride makes {count} of {steps} steps", fix=fix)
    return np.arange(0, steps, stride)


def _in_sections(counts: list[int], steps: int) -> np.ndarray:
    sections = len(counts)
    sizes = [steps // sections + (number < steps % sections) for number in range(sections)]
    first, times = 0, []
    for count, size in zip(counts, sizes, strict=True):
        if count > size:
            where = f"a section of {size} steps" if sections > 1 else f"a chain of {size} steps"
            raise InputError(f"{where} cannot be respaced to {count}", fix=f"give at most {size}")
        # Added up one by one, as published: where a time falls between two, rounding decides between them.
        strides = np.full(count, (size - 1) / max(count - 1, 1))
        strides[0] = 0.0
        times.append(first + np.round(np.cumsum(strides)))
        first += size
    return np.concatenate(times)
