"""Which stretches are kept: header, cuts, people, quality. Read ``candidates.py`` first."""
