"""The command line ``viton-dit``: a sub-command for each thing that make does.

Read ``app.py`` first.
"""
