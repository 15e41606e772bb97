"""Summaries of expanded datasets, leaks between them, and contact sheets."""

from fomaug.expand.inspect.leaks import Leak as Leak
from fomaug.expand.inspect.leaks import find_leaks as find_leaks
from fomaug.expand.inspect.summary import Summary as Summary
from fomaug.expand.inspect.summary import summarise as summarise

__all__ = [
    "Leak",
    "find_leaks",
    "Summary",
    "summarise",
]
