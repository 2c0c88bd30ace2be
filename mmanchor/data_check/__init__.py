"""Checks of data sets before anything is trained on them."""
