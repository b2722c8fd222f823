"""The stages on the canonical clip, one per file; see ``Stage`` in ``clip.py`` first."""
