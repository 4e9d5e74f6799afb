"""What a cell of a notebook can show, in every form it is read in: which rows, what is said of those withheld."""
