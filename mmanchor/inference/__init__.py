"""Predict with a trained model and keep the results."""
