"""The one error that a user's mistake raises."""


class InputError(ValueError):
    """What the user gave cannot be used; the message names it and the reason in one line."""
