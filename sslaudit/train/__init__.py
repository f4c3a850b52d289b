"""The training wing: reference encoders that make a card readable. Plain torch, one loss per module."""
