"""Trained networks and a user's video -> the same video in another garment.

Read ``pipeline.py`` first.
"""
