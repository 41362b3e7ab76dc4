"""Training: data, losses, gradient integration, the loop and ``prunnet-train``."""
