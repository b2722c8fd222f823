"""The user's video in, the result out, in the source's own shape. Read ``source.py`` first."""
