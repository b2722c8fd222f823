"""Small experiments on rendered dancers with known ground truth: what is judged, and how.

Read ``judging.py`` first, then docs/notes/ablations.md.
"""
