"""A page in the browser to try models on one's own images: ``mmanchor web``.

``answers`` makes what the page shows, and ``page`` lays it out by gradio.
"""
