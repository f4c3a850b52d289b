"""The losses of the paper with their parts, and what Theorems 3 and 4 make of them."""
