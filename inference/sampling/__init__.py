"""Conditions -> painted latents of a video of any length. Read ``painter.py`` first."""
