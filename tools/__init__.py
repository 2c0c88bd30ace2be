"""Scripts, and the benchmarks and studies that only a checkout has."""
