"""From effects and checks to a report: figures, tables, sentences, execution and rendering."""
