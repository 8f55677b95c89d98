"""Requests that are refused: one exception, with what a program and what a person is told."""

from typing import Any


class Refused(Exception):
    """A request that gets no answer but a reason.

    Attributes:
      status: of HTTP; 4xx, 503 where trying again later helps, 500 where we failed.
      code: a word for programs, out of the `ERRORS` of `mint_jax.demonstrator.english`.
      details: fill the sentence of the code.
      retry_after: seconds; None where trying again does not help.
    """

    def __init__(self, status: int, code: str, retry_after: int | None = None, **details: Any):
        super().__init__(code)
        self.status, self.code, self.retry_after = status, code, retry_after
        self.details = details


_STATUS = {"too_many_pixels": 413, "not_an_image": 415, "unsupported": 415}


def status_of(code: str) -> int:
    """The HTTP status of a photo that cannot be examined."""
    return _STATUS.get(code, 422)
