"""Experiments whose results the documentation shows."""
