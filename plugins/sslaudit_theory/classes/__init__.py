"""Class centres, how far they stand apart, and how far their images scatter round them."""
