"""Densities built from a chart and a latent flow."""
