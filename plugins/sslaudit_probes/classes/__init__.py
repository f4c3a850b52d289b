"""The classes in the embedding: how tight, how far apart."""
