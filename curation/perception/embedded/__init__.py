"""Models that need no weights of yours, and their stand-ins. Read ``blazepose.py`` first."""
