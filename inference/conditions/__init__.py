"""A user's video and garment -> what the network is conditioned on. Read ``perceive.py`` first."""
