"""The error that a command shows as one message instead of a traceback."""


class UserError(ValueError):
    """Something the user gave cannot work: a path, a data set, an option.

    The message names what was given and what would be right.
    """
