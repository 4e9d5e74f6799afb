"""Sentences whose numbers are computed: the narrative of a chapter, and the abstract."""
