"""One module for each benchmark command."""
