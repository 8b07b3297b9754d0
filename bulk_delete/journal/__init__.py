"""The record of a job: an intent before each call, an outcome after it.

Nothing is imported here, so that reading a journal does not load what writing it needs.
"""
