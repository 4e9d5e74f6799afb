"""Estimate how relocation affects employment, schooling and access to health care, and report it.

The straight line, left to right: `read_study`, `read_panel`, `check_panel`, `build_design`, `estimate`, the checks, figures and
tables. Names are resolved when they are first used, so that importing the package costs nothing.
"""

from importlib import import_module

__version__ = "0.1.0"

_PUBLIC = {
    "data.study": ("Study", "list_studies", "read_study"),
    "data.codebook": ("Outcome", "read_codebook"),
    "data.facts": ("read_facts", "read_provinces"),
    "data.simulation_parameters": ("SimulationParameters",),
    "data.simulate": ("simulate_panel", "simulate_parquet"),
    "data.panel": ("check_panel", "read_panel", "read_truth"),
    "estimation.design": ("Design", "build_design", "checked_outcomes", "domain_outcomes", "primary_outcome", "primary_outcomes"),
    "estimation.cells": ("Cells", "build_cells"),
    "estimation.cohort_time": ("estimate_cohort_time", "list_contrasts"),
    "estimation.aggregate": ("aggregate_effects", "list_aggregations"),
    "estimation.doubly_robust": ("doubly_robust_att",),
    "estimation.effects": ("Effects", "join_effects"),
    "estimation.estimate": ("adjust_headlines", "domain_family", "estimate", "primary_family"),
    "estimation.exposures": ("estimate_exposures",),
    "estimation.benchmarks": ("estimate_alternatives", "estimate_twfe"),
    "estimation.power": ("design_power",),
    "estimation.checks": ("Check",),
    "estimation.robustness": ("run_checks",),
    "estimation.sample": ("baseline_balance", "headline_shares", "raw_means"),
    "estimation.placebo": ("errors_by_level",),
    "estimation.specification_curve": ("specification_curve",),
    "estimation.imputation": ("estimate_imputation",),
    "estimation.sun_abraham": ("estimate_sun_abraham",),
    "estimation.offer": ("estimate_offer", "estimate_take_up"),
    "estimation.comparison": ("estimate_comparison",),
    "estimation.sensitivity": ("check_pretrends", "known_truth"),
    "reporting.disclosure.rule": ("open_report",),
    "reporting.exhibits.kinds": ("Figure", "Prose", "Table", "publish"),
    "reporting.figures.balance": ("plot_balance",),
    "reporting.figures.cell_map": ("plot_cell_map",),
    "reporting.figures.event_study": ("plot_event_study",),
    "reporting.figures.flow": ("plot_flow",),
    "reporting.figures.trends": ("plot_raw_trends",),
    "reporting.figures.curve": ("plot_specifications",),
    "reporting.figures.forest": ("plot_estimators", "plot_forest", "plot_headlines"),
    "reporting.tables.effects": ("tabulate_aggregations", "tabulate_estimators", "tabulate_event_study", "tabulate_headlines",
                         "tabulate_subgroups"),
    "reporting.tables.record": ("tabulate_checks", "tabulate_flow", "tabulate_truth"),
    "reporting.text.narrative": ("describe_answer", "describe_domain", "describe_harms", "describe_horizon",
                            "describe_pretrends", "describe_study", "describe_verdict"),
    "reporting.text.abstract": ("describe_abstract",),
    "reporting.tables.checks": ("tabulate_check_tables", "tabulate_errors", "tabulate_event_times"),
    "reporting.sections": ("describe_estimand", "describe_estimators", "head_subgroups", "list_subgroups", "only", "show_balance", "show_errors",
                           "show_specifications", "show_subgroups", "show_trends", "tabulate_arms",
                           "tabulate_late", "tabulate_offer_balance", "tabulate_take_up", "tabulate_versions"),
    "estimation.synthesis": ("estimate_synthesis", "weighted_mean"),
    "reporting.national.provinces": ("read_reports",),
    "reporting.national.synthesis": ("compare_provinces",),
    "reporting.national.words": ("describe_alone", "describe_compared", "describe_movers", "describe_national", "describe_without"),
    "reporting.national.exhibits": ("publish_synthesis", "show_provinces", "tabulate_alone", "tabulate_compared", "tabulate_left_out",
                                     "tabulate_literature", "tabulate_movers", "tabulate_synthesis", "tabulate_weights",
                                     "tabulate_without"),
    "reporting.tables.context": ("tabulate_ledger", "tabulate_programme", "tabulate_time_account",
                                 "tabulate_known_truth"),
}  # fmt: skip
_ROOM = {name: module for module, names in _PUBLIC.items() for name in names}
__all__ = ["__version__", *sorted(_ROOM)]


def __getattr__(name: str):
    if name not in _ROOM:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_ROOM[name]}"), name)


def __dir__():
    return __all__
