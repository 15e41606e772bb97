"""Animate every face of a dataset with borrowed motion, labels moved along."""

__version__ = "0.1.0"
