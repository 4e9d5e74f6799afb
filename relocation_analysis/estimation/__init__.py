"""From a checked panel to effects and checks: cells, cohort-time effects, aggregation, inference."""
