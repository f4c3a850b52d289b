"""One page that shows many cards side by side, and its tables."""
