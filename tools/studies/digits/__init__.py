"""The ablations on handwritten digits."""
