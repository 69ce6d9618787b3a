"""Time for reconstructions: when each has to end, and how many steps are made before somebody looks at the clock."""

from __future__ import annotations

import time
from collections.abc import Callable

import tqdm

from tfrecon.util.errors import InputError

LOOK_SECONDS = 0.5
"""About so long are the parts between two looks at the clock, if a step is not longer by itself."""


class OutOfTime(InputError):
    """A budget of time that ended before a single step."""


def now() -> float:
    """Seconds on a clock that never goes back."""
    return time.monotonic()


class Pace:
    """The steps of one record: how many come next, how far they have come, whether they had to stop.

    A record may be reconstructed in several batches one after the other, its `parts`; the time that is left is shared
    equally by those that are to come.

    Args:
        deadline: of the record, on the clock; None for all the time it takes.
        report: told which part of the record is done, from 0 to 1, now and then.
        most: after so many steps each part stops, for who wants it compiled alone; None for all.

    Attributes:
        made: the fewest steps of any part.
        steps: how many there should have been.
    """

    def __init__(
        self,
        deadline: float | None = None,
        report: Callable[[float], None] | None = None,
        most: int | None = None,
    ) -> None:
        self._deadline, self._report, self._most = deadline, report, most
        self._part, self._parts = 0, 1
        self._end, self._done = deadline, 0
        self._seconds: float | None = None
        self._looked = 0.0
        self.made: int | None = None
        self.steps = 0

    @property
    def stopped(self) -> bool:
        """Whether some part ended before its last step."""
        return self.made is not None and self.made < self.steps

    def enter(self, part: int, parts: int) -> None:
        """Says which batch of how many comes next."""
        self._part, self._parts = part, parts

    def begin(self, steps: int) -> None:
        """A part begins, of so many steps."""
        self.steps, self._done, self._looked = steps, 0, now()
        if self._deadline is not None:
            self._end = self._looked + (self._deadline - self._looked) / (self._parts - self._part)

    def next(self) -> int:
        """How many steps are made now, at least 1; 0 where the part is done or another step does not fit.

        Raises:
            OutOfTime: the time is over before the first step.
        """
        wanted = self.steps if self._most is None else min(self.steps, self._most)
        left, self._looked = wanted - self._done, now()
        if self._end is not None and self._looked >= self._end and not self._done:
            raise OutOfTime("the time was over before a single step", fix="give more --max_seconds, or fewer --nfe")
        if self._seconds is None or not self._done:
            count = min(left, 1)
        else:
            count = min(left, max(1, int(LOOK_SECONDS / self._seconds)))
            if self._end is not None:
                count = max(0, min(count, int((self._end - self._looked) / self._seconds)))
        if not count:
            self.made = self._done if self.made is None else min(self.made, self._done)
        return count

    def made_steps(self, count: int) -> None:
        """So many steps were made since `next` said so."""
        self._seconds = max((now() - self._looked) / count, 1e-6)
        self._done += count
        if self._report is not None:
            self._report((self._part + self._done / self.steps) / self._parts)


class RunClock:
    """The time of a run, shared by its records, and the bar that shows it.

    Args:
        seconds: of all; None for no limit.
        done: records that are made already.
        count: all of them.
        bar: with `done` on it.
    """

    def __init__(self, seconds: float | None, done: int, count: int, bar: tqdm.tqdm) -> None:
        self._end = None if seconds is None else now() + seconds
        self._done, self._count, self._bar = done, count, bar

    def pace(self) -> Pace:
        """That of the next record, which has an equal part of what is left."""
        if self._end is None:
            return Pace(None, self._show)
        start = now()
        return Pace(start + (self._end - start) / max(self._count - self._done, 1), self._show)

    def next(self) -> None:
        """A record is done."""
        self._done += 1
        self._show(0.0)

    def _show(self, part: float) -> None:
        if self._end is not None:
            self._bar.set_postfix_str(f"{max(self._end - now(), 0.0):.0f} s of the budget left", refresh=False)
        self._bar.update(self._done + part - self._bar.n)
