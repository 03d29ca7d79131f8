"""Conformity suites: what every implementation of a part must do, for our own and for users' parts."""

from evospace.testing.operations import check_operation

__all__ = ["check_operation"]
