"""Theorem 1: its conditions, the choice of eps and delta, and what follows in words."""
