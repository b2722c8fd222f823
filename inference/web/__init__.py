"""The fitting room: try-on in a browser, for several people at once, on one's own machine.

``app.py`` starts it; read ``server.py`` first.
"""
