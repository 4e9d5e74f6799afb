"""Provinces compared by what their reports published: the national report."""
