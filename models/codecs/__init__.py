"""Image codecs: pixels <-> latents. Read ``vae.py`` first; ``dct.py`` needs no weights."""
