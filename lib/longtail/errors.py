"""What is told in one line, never as a traceback: mistakes that a user can mend, and the loss of a process."""


class UserError(Exception):
    """A bad input, told in one line: what is wrong, where, and what is allowed.

    The entry points print it on standard error and exit with code 2. Everything else that is raised is a fault of
    the software and keeps its traceback.
    """


class ProcessLost(Exception):
    """Another process of the run ended while this one was waiting for it; the entry points exit with code 1."""
