"""
What can keep the stack from running.

* StackError
  x AlreadyRunning
"""


class StackError(Exception):
    """The stack cannot do what was asked. The message says why, and the way out."""


class AlreadyRunning(StackError):
    """Another process runs this very stack."""
