"""What a user did wrong, in one sentence: what, where, what was found, what is accepted."""


class UserError(ValueError):
    """Bad input. The command line prints its message without a traceback and exits with 2."""


class ConfigError(UserError):
    """A setting that does not exist, has the wrong type or lies out of range."""


class DataError(UserError):
    """A file or folder that is missing, incomplete or not what it should be."""
