"""What may leave of numbers about people: the rule, what it withholds, rounds and notes. It knows of no exhibit."""
