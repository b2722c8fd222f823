"""Image codecs: between pixels and latents. Read ``vae.py`` first; ``dct.py`` needs no weights."""
