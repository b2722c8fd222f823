"""The fitting room: try-on in a browser, for several people at once, on your own machine.

``app.py`` starts it; read ``server.py`` first.
"""
