"""What can go wrong in a look-up."""


class TransformException(Exception):  # noqa: N818 (the official name)
    """Base of all of them."""


class LookupException(TransformException):
    """A frame is not known, or the tree has a loop."""


class ConnectivityException(TransformException):
    """Two frames are in trees that are not connected."""


class ExtrapolationException(TransformException):
    """The time asked for is outside what a frame's history covers."""


class InvalidArgumentException(TransformException):
    """A frame name is empty or starts with a slash."""


class TimeoutException(TransformException):
    """Something did not come in time."""
