"""From a trained model to a file that other programs run, checked before it is kept."""
