"""The exception for bad input, and the kind that others act on."""


class InputError(ValueError):
    """Input that cannot be used. Its message is one line that names the file or field and what is wrong with it."""


class WeightsError(InputError):
    """Weights that cannot be used: damaged, of another network, or not for these images."""
