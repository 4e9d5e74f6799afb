"""Figures: each a function from released results to one drawing, on the same sheet."""
