"""Images of any size: exactly, in bands of rows; detectors in tiles."""
