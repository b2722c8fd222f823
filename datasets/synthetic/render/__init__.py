"""A small software renderer for dancers and rooms. Read ``camera.py``, then ``figure.py``."""
