"""The project's own benchmarks: attentions, images, training, the paper's tables."""
