"""Objectives, phases and the one optimisation loop."""
