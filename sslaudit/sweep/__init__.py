"""Suites: each method trained with each recipe and seed, each encoder audited, one table of all."""
