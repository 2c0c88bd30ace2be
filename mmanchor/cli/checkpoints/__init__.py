"""Commands that turn checkpoint files into others."""
