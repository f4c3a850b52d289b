"""The shape of the embedding, without labels."""
