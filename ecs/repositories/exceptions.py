"""
What can go wrong while talking to the database.

* RepositoryError
  x DatabaseError          the database failed, or refused, for a reason we did not foresee
    + DatabaseUnavailable  it cannot be reached, or asks us to try again
  x InvalidValueError      it cannot hold a value (SQLSTATE class 22)
  x NotFoundError          the row is not there
  x ConflictError          a constraint or a version check said no
"""


class RepositoryError(Exception):
    """Base class of every error raised by a repository. Never carries a statement or a value."""


class DatabaseError(RepositoryError):
    """The database failed, or refused, for a reason we did not foresee."""


class DatabaseUnavailable(DatabaseError):
    """The database cannot be reached, or failed in a way that passes; trying again may help."""


class InvalidValueError(RepositoryError):
    """The database cannot hold a value of the request (SQLSTATE class 22)."""


class NotFoundError(RepositoryError):
    """The row is not there."""


class ConflictError(RepositoryError):
    """A constraint or a version check said no; ``constraint`` names it."""

    def __init__(self, constraint: str) -> None:
        super().__init__(constraint)
        self.constraint = constraint
