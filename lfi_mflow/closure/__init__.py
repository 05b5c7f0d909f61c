"""Tests that show whether a surrogate can be trusted."""
