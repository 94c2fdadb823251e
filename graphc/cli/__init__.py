"""The command line."""

from graphc.cli.main import app

__all__ = ["app"]
