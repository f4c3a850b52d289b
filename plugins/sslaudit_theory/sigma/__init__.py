"""Concentration: augmented distances, and the largest part of a class that is close in them."""
