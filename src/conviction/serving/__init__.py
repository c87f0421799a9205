"""A promoted ensemble as one object: what it answers, what it refuses, and its native files."""

from conviction.serving._request import RequestContract, check_request
from conviction.serving._served import ServedModel, assemble_served

__all__ = ["RequestContract", "ServedModel", "assemble_served", "check_request"]
