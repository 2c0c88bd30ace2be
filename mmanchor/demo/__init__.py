"""Runnable demos on rendered scenes."""
