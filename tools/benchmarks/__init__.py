"""The project's benchmarks: attentions, large images, training, the paper's tables."""
