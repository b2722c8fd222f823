"""A method's videos -> tables with intervals, and their report. Read ``scoring.py`` first."""
