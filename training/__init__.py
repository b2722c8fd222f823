"""Shards -> trained networks, and networks -> numbers.

Read ``fit.py`` first.
"""
