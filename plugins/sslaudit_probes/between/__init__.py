"""How alike two encoders are, on the same images."""
