"""Whether a text is a schedule that we run: five fields, nothing left to chance."""

from __future__ import annotations

import re
from functools import lru_cache

_LONGEST = 500
_NAMED = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
# `H` and `R` as croniter knows them: alone, with a range, or with a step; the letters of day names do not count.
_BY_CHANCE = re.compile(r"(?<![a-z])r(?![a-z])", re.IGNORECASE)
_BY_HASH = re.compile(r"(?<![a-z])h(?![a-z])", re.IGNORECASE)


class NoSchedule(ValueError):
    """The text is no schedule; with what to do."""

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


@lru_cache(maxsize=4096)
def read_cron(text: str) -> str:
    """Return the schedule with five fields and single blanks (`@daily` spelled out); raises NoSchedule."""
    if len(text) > _LONGEST:
        raise NoSchedule(f"longer than {_LONGEST} characters", 'minute hour day month weekday, e.g. "0 9 * * mon-fri"')
    fields = text.split()
    if len(fields) == 1 and fields[0].lower() in _NAMED:
        return _NAMED[fields[0].lower()]
    if len(fields) == 6:
        raise NoSchedule(
            "six fields: schedules to the second are not supported yet", "leave one out: minute hour day month weekday"
        )
    if len(fields) != 5:
        many = f"{len(fields)} field{'' if len(fields) == 1 else 's'}"
        raise NoSchedule(
            f"five fields are expected, not {many}", 'minute hour day month weekday, e.g. "0 9 * * mon-fri"'
        )
    if any(map(_BY_CHANCE.search, fields)):
        raise NoSchedule("R (a time by chance) would change with every start", "use `spread: 5m` beside it")
    if any(map(_BY_HASH.search, fields)):
        raise NoSchedule("H is not supported", "use `spread: 5m` beside it: a delay of its own for each flow")
    plain = " ".join(fields)
    _check(plain)
    return plain


def _check(schedule: str) -> None:
    from croniter import croniter
    from croniter.croniter import CroniterError

    try:
        croniter.expand(schedule, strict=True)
    except (CroniterError, ValueError, KeyError, IndexError, AttributeError, TypeError) as error:
        raise NoSchedule(f'"{schedule[:80]}" is no schedule{_reason(str(error))}', _hint(schedule)) from None
    if not croniter.is_valid(schedule, strict=True):
        raise NoSchedule(f'"{schedule[:80]}" never comes')


def _reason(said: str) -> str:
    """Take the useful end of croniter's sentence: `[…] is not acceptable. Day(s) [30] can never occur in month(s) [2]`."""
    useful = re.sub(r"^\[.*?\] is not acceptable[.,]?\s*", "", said).strip()
    return f": {useful[0].lower()}{useful[1:120]}" if useful and "not acceptable" not in useful else ""


def _hint(schedule: str) -> str | None:
    words = re.findall(r"[a-z]{4,}", schedule.lower())
    return "days and months have three letters: mon, tue, …, jan, feb, …" if words else None
