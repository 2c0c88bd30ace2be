"""Helpers that know nothing of models: errors, files, configs, progress, seeds."""
