"""One file per metric, with its function and record; and the protocols that define the numbers.

Read ``metric.py`` first, then ``catalogue.py``.
"""
