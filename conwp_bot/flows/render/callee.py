"""What a template may call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Callee:
    """A function or a method of its owner; `run` gets the rendering first, then the owner. Nothing else can be called.

    Not callable by Python itself, so that no filter can be talked into calling it.
    """

    __slots__ = ("name", "owner", "run")

    def __init__(self, name: str, run: Callable[..., Any], owner: Any = None) -> None:
        self.name = name
        self.run = run
        self.owner = owner
