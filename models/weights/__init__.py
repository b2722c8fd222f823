"""Files of tensors, one or many, and what files of a trunk look like. Read ``files.py`` first."""
