"""One cheap pass over every frame of a source: its signals. Read ``first_pass.py`` first."""
