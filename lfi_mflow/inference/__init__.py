"""Posteriors from a likelihood surrogate."""
