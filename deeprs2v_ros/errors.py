"""The one exception for bad input."""


class InputError(ValueError):
    """Input that cannot be used. Its message is one line that names the file or field and what is wrong with it."""
