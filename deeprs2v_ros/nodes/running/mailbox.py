"""A place for one thing, between the thread that brings and the thread that takes: the newest wins."""

from __future__ import annotations

from threading import Condition
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Mailbox(Generic[Item]):
    """Holds one item, or none."""

    def __init__(self) -> None:
        self._changed = Condition()
        self._item: Item | None = None

    def put(self, item: Item) -> Item | None:
        """Leave ``item``; returns the one that it replaces, which nobody has taken."""
        with self._changed:
            replaced, self._item = self._item, item
            self._changed.notify()
            return replaced

    def take(self, timeout: float) -> Item | None:
        """Take what is there, or comes within ``timeout`` seconds."""
        with self._changed:
            if self._item is None:
                self._changed.wait(timeout)
            item, self._item = self._item, None
            return item
