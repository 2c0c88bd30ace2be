"""Checks of data sets and recipes before anything is trained on them."""
