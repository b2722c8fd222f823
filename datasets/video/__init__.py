"""How any video is read: upright, square pixels, ordinary RGB, in order of time.

Curation, try-on, garments taken from videos and the evaluation all read through ``reader.py``;
start there.
"""
