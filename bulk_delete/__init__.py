"""Remove runs from Cekura results, many at a time, and always know what was done."""

__version__ = "0.1.0"
