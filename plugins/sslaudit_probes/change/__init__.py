"""What a change of the image does to the embedding and to the probes."""
