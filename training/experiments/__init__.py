"""Small experiments on rendered dancers, whose truth is known: what is judged, and how.

Read ``judging.py`` first, then docs/experiments.md.
"""
