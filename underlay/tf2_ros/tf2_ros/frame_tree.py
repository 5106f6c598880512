"""The tree of frames and the ways through it, in plain numbers: times in nanoseconds, transforms as tuples."""

from __future__ import annotations

import math

from tf2_ros.exceptions import ConnectivityException, ExtrapolationException, LookupException
from tf2_ros.rigid import IDENTITY, Rigid, compose, inverse
from tf2_ros.static_cache import StaticCache
from tf2_ros.time_cache import TimeCache


class FrameTree:
    """What is known of every frame's place in its parent. A root has no entry of its own."""

    def __init__(self, cache_time: int) -> None:
        self.cache_time = cache_time
        self.frames: set[str] = set()
        self._caches: dict[str, TimeCache | StaticCache] = {}

    def insert(self, parent: str, child: str, stamp: int, parent_from_child: Rigid, is_static: bool) -> bool:
        """Add a transform; False if it is too old to be kept. A frame that changes its kind loses its history."""
        cache = self._caches.get(child)
        if cache is None or isinstance(cache, StaticCache) != is_static:
            cache = self._caches[child] = StaticCache() if is_static else TimeCache(self.cache_time)
        self.frames.update((parent, child))
        return cache.insert(stamp, (parent, parent_from_child))

    def clear(self) -> None:
        """Forget all transforms but the static ones."""
        for cache in self._caches.values():
            cache.clear()

    def lookup(self, target: str, source: str, stamp: int) -> tuple[Rigid, int]:
        """target_from_source, and its time: ``stamp``, or the latest common one if that is 0.

        Raises LookupException (a loop), ConnectivityException or ExtrapolationException.
        """
        if target == source:
            newest = self._newest(target) if stamp == 0 else None
            return IDENTITY, newest[0] if newest else stamp
        if stamp == 0:
            stamp = self.latest_common_time(target, source)

        # From the source up to the root, or to where the history ends: the target may branch off below.
        top, top_from_source = source, IDENTITY
        gap, passed = None, set()
        while top != target and top in self._caches:
            try:
                parent, parent_from_top = self._caches[top].at(stamp)
            except ExtrapolationException as error:
                gap = error
                break
            passed.add(top)
            top, top_from_source = parent, compose(parent_from_top, top_from_source)
            if top in passed:
                raise _loop(top)

        # From the target up to the same frame. It is there, or there is no way between the two.
        frame, frame_from_target = target, IDENTITY
        passed.clear()
        while frame != top and frame in self._caches:
            try:
                parent, parent_from_frame = self._caches[frame].at(stamp)
            except ExtrapolationException as error:
                raise _while_looking_up(error, target, source) from None
            passed.add(frame)
            frame, frame_from_target = parent, compose(parent_from_frame, frame_from_target)
            if frame == source:
                return inverse(frame_from_target), stamp
            if frame in passed:
                raise _loop(frame)
        if frame != top:
            raise _while_looking_up(gap, target, source) if gap else _unconnected(target, source)
        return compose(inverse(frame_from_target), top_from_source), stamp

    def latest_common_time(self, target: str, source: str) -> int:
        """The oldest of the newest times on the way between two frames; static ones do not count; 0 if all are.

        Raises LookupException or ConnectivityException.
        """
        oldest: dict[str, float] = {source: math.inf}
        frame, common = source, math.inf
        while frame != target and (newest := self._newest(frame)):
            frame, common = newest[1], min(common, newest[0] or math.inf)
            if frame in oldest:
                raise _loop(frame)
            oldest[frame] = common
        frame, common = target, math.inf
        passed = set()
        while frame not in oldest:
            newest = self._newest(frame)
            if newest is None:
                raise _unconnected(target, source)
            passed.add(frame)
            frame, common = newest[1], min(common, newest[0] or math.inf)
            if frame in passed:
                raise _loop(frame)
        common = min(common, oldest[frame])
        return 0 if common == math.inf else int(common)

    def _newest(self, frame: str) -> tuple[int, str] | None:
        """Time and parent of a frame's newest transform; None for a root, and where everything was cleared."""
        return self._caches[frame].newest() if frame in self._caches else None


def _loop(frame: str) -> LookupException:
    return LookupException(f"The tf tree is invalid because it contains a loop through [{frame}].")


def _while_looking_up(error: ExtrapolationException, target: str, source: str) -> ExtrapolationException:
    return ExtrapolationException(f"{error}, when looking up transform from frame [{source}] to frame [{target}]")


def _unconnected(target: str, source: str) -> ConnectivityException:
    return ConnectivityException(
        f"Could not find a connection between '{target}' and '{source}' because they are not part of the same tree."
    )
