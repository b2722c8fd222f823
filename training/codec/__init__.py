"""Training of the embedded codec (``make codec``). Read ``__main__.py`` first."""
