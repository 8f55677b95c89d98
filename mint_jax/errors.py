"""The one error that a user's mistake raises."""


class InputError(ValueError):
    """Something the user gave cannot be used; the message is one line that names it and the reason."""
