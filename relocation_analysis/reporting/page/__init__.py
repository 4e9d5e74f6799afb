"""From the record to what a reader opens: HTML, PDF, a Word file, and exhibits as files."""
