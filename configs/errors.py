"""User errors, each one sentence: what, where, what was found, what is accepted."""


class UserError(ValueError):
    """Bad input. Commands print its message without a traceback and exit with 2."""


class ConfigError(UserError):
    """A setting that does not exist, has the wrong type or is out of range."""


class DataError(UserError):
    """A file or folder that is missing, incomplete or of the wrong kind."""
