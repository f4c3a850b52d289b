"""How well classes are told apart from the embedding."""
