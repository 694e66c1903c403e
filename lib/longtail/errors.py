"""Mistakes that a user can mend: told in one line, never as a traceback."""


class UserError(Exception):
    """A bad input, told in one line: what is wrong, where, and what is allowed.

    The entry points print it on standard error and exit with code 2. Everything else that is raised is a fault of
    the software and keeps its traceback.
    """
