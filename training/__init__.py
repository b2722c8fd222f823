"""Training and evaluation: shards -> trained networks -> scores.

Read ``fit.py`` first.
"""
