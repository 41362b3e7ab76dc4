"""Peers: what people would do instead, on equal terms and at equal measured latency."""
