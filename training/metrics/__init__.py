"""One file a metric, its function and its record; and the protocols that say what a number means.

Read ``metric.py`` first, then ``catalogue.py``.
"""
