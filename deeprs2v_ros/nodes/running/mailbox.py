"""A place for one item, between the thread that leaves it and the thread that takes it: the newest wins."""

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
        """Leave ``item``; returns the one that it replaces, if nobody has taken that."""
        with self._changed:
            replaced, self._item = self._item, item
            self._changed.notify()
            return replaced

    def take(self, timeout: float) -> Item | None:
        """Take the item that is there or comes within ``timeout`` seconds; None otherwise."""
        with self._changed:
            if self._item is None:
                self._changed.wait(timeout)
            item, self._item = self._item, None
            return item
