"""The country whose phone numbers need no country code, from a locale."""

from __future__ import annotations

from functools import lru_cache

_FALLBACK = "TR"


@lru_cache(maxsize=256)
def region_of_locale(locale: str) -> str:
    """Return the ISO 3166 code of a locale's country: `tr_TR` gives `TR`, `de` what is likely (`DE`), an unknown one `TR`."""
    for part in locale.replace("-", "_").split("_")[1:]:
        if len(part) == 2 and part.isalpha():
            return part.upper()
    from babel.core import get_global

    likely = str(get_global("likely_subtags").get(locale, "")).rpartition("_")[2]
    return likely if len(likely) == 2 and likely.isupper() else _FALLBACK
