"""Tables: each a function from released results to cells of text."""
