"""Networks only: tensors in, tensors out; imports nothing else of this project.

Read ``viton_dit.py`` first.
"""
