"""The models that look at people, one file per backend behind the protocols of ``protocols.py``."""
