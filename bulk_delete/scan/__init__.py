"""The fast readers: blocks of bytes → columns of ids, and what must be looked at again. Pure.

They take only what they are sure of. Every row that they leave is read once more by the slow and
plain readers in `sources`, which alone decide that a row is bad.
"""
