"""What a user measures of a model: multiply-adds, parameters, latency, memory."""
