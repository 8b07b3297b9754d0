"""Puts a job together: the only room that knows all the others.

Nothing is imported here, so that `plan` starts without what only `run` needs.
"""
