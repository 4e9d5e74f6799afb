"""The page that lists the reports of a study: headlines with their intervals, what to beware of, what changed.

It reads what the reports publish and nothing else. One file, no network; it can be sorted where scripts run, and is
complete where they do not.
"""

import base64
import csv
import hashlib
import html
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from relocation_analysis.data.facts import label_province, province_slugs
from relocation_analysis.language import _, join_list, join_sentences
from relocation_analysis.reporting import wording
from relocation_analysis.reporting.run.placing import FAILED, read_run

MAIN_ESTIMATORS = ("callaway_santanna", "ols_strata", "aipw_differences", "aipw_levels")  # as in estimation.effects
TEMPLATES = Path(__file__).with_name("templates")
WIDTH, HEIGHT, MARGIN = 150, 18, 5  # of the drawing of an interval
NATIONAL = "national"
POWER_QUANTILE = 0.8416212335729143  # of the normal distribution, at 80%: as in estimation.power


@dataclass(frozen=True)
class Headline:
    """One estimate of a report; None where it is withheld or there is none."""

    estimate: float | None
    low: float | None
    high: float | None
    error: float | None


@dataclass(frozen=True)
class Row:
    """One province of the page.

    Attributes
    ----------
    home : the name of its folder.
    headlines : (outcome, arm) -> `Headline`.
    failed_checks, withheld : how many of them the report has.
    change : "new", "numbers", "same", "unchanged", "failed", "not started" or "" for what this batch was not asked for.
    before : (outcome, arm) -> the estimate before, where it was another.
    links : (language, name of the file), as they stand in the folder of the province.
    """

    name: str
    home: str
    language: str
    headlines: dict[tuple[str, str], Headline]
    failed_checks: int
    withheld: int
    change: str
    before: dict[tuple[str, str], float | None]
    problem: str
    links: tuple[tuple[str, str], ...]
    effects: str = ""

    @property
    def slot(self) -> str:
        """By what the next batch finds what this one remembers of the report."""
        return f"{self.home}/{self.language}"

    @property
    def remembered(self) -> dict | None:
        """What the next batch compares itself with."""
        if not self.effects:
            return None
        estimates = [[*key, headline.estimate] for key, headline in self.headlines.items()]
        return {"effects": self.effects, "estimates": estimates}


def collect(study, folder: Path, language: str, remembered: dict, results: list) -> list[Row]:
    """The rows of the page: every province with a report in `folder`, and those that the batch was asked for.

    Parameters
    ----------
    remembered : what the last batch knew, `Row.remembered` by `Row.slot`.
    results : how the jobs of this batch ended.
    """
    ended = {one.home: one for one in results if one.home}
    found = {run.parent.parent for run in folder.glob("*/*/run.json") if "outputs" in read_run(run.parent)}
    homes = {folder / home for home in ended} | found - {folder / NATIONAL}
    order = {name: i for i, name in enumerate(province_slugs())}
    homes = sorted(homes, key=lambda home: (order.get(home.name, len(order)), home.name))
    return [_row(study, home, language, remembered, ended.get(home.name)) for home in homes]


def _row(study, home: Path, language: str, remembered: dict, ended) -> Row:
    reports = sorted(path.parent for path in home.glob("*/run.json"))
    report = next((r for r in reports if r.name == language), reports[0] if reports else home / language)
    name = ended.name if ended else read_run(report).get("province") or "all"
    effects = read_run(report).get("outputs", {}).get("effects.csv", "")
    headlines = dict(_headlines(report, study))
    before = remembered.get(f"{home.name}/{report.name}")
    old = {(outcome, arm): estimate for outcome, arm, estimate in before["estimates"]} if before else {}
    changed = {k: old[k] for k in headlines if k in old and old[k] != headlines[k].estimate}
    links = [(r.name, path.name) for r in reports for path in sorted(r.glob("report.*")) if path.suffix != ".ipynb"]
    links += [(path.parent.name, FAILED) for path in sorted(home.glob(f"*/{FAILED}"))]
    return Row(name, home.name, report.name, headlines, _count_failed(report), _count_withheld(report),
               _change(ended, before, effects), changed, ended.problem if ended else "", tuple(links), effects)  # fmt: skip


def _change(ended, before: dict | None, effects: str) -> str:
    if ended is None:
        return ""
    if ended.how in ("failed", "not started"):
        return ended.how
    if before is None:
        return "new"
    if before["effects"] != effects:
        return "numbers"
    return "same" if ended.how == "done" else "unchanged"


def _read(path: Path) -> Iterator[dict[str, str]]:
    if path.is_file():
        with open(path, encoding="utf-8", newline="") as file:
            yield from csv.DictReader(file)


def _headlines(report: Path, study) -> Iterator[tuple[tuple[str, str], Headline]]:
    """The headlines of the primary outcomes, as the overview published them: it comes first in the file."""
    for row in _read(report / "effects.csv"):
        if row["chapter"] != "overview":
            return
        if row["aggregation"] == "headline" and row["subgroup"] == "all" and row["estimator"] in MAIN_ESTIMATORS:
            numbers = (float(row[c]) if row[c] else None for c in ("estimate", "conf_low", "conf_high", "std_error"))
            yield (row["outcome"], row["arm"]), Headline(*numbers)


def _count_failed(report: Path) -> int:
    return sum(row["passed"] == "False" for row in _read(report / "checks.csv"))


def _count_withheld(report: Path) -> int:
    return sum(1 for _row in _read(report / "disclosure.csv"))


def underpowered(headline: Headline, benchmark: float | None) -> bool:
    """Whether the effect found with 80% power is larger than the benchmark: (q + t_.80) s > d, as in `design_power`."""
    if benchmark is None or not headline.error or headline.high is None:
        return False
    return (headline.high - headline.estimate) + _quantile_of_power(headline) * headline.error > benchmark


def _quantile_of_power(headline: Headline) -> float:
    """t_.80 of the distribution whose 97.5% quantile gave the interval; that of the normal unless clusters are few."""
    ratio = (headline.high - headline.estimate) / headline.error
    if ratio < 1.985:  # rounding of published numbers allowed for
        return POWER_QUANTILE
    from scipy import optimize, stats

    df = optimize.brentq(lambda df: stats.t.ppf(0.975, df) - ratio, 1, 1e4) if ratio < stats.t.ppf(0.975, 1) else 1
    return float(stats.t.ppf(0.8, df))


def render(rows: list[Row], study, folder: Path) -> str:
    """The page, as it stands in `folder`."""
    keys = list(dict.fromkeys(key for row in rows for key in row.headlines))
    scales = {key: _scale([row.headlines[key] for row in rows if key in row.headlines]) for key in keys}
    script = (TEMPLATES / "index.js").read_text(encoding="utf-8")
    heads = [_("Province"), *(_label(study, key) for key in keys), _("Beware"), _("Since the last run"), _("Reports")]
    simulated = html.escape(_("Simulated data"))
    parts = {
        "lang": {"zh": "zh-CN"}.get(study.language, study.language),
        "title": html.escape(study.heading.rstrip("\uff1a: ")),
        "simulated": f'<p class="banner">{simulated}</p>' if study.simulated else "",
        "intro": html.escape(_intro(rows)),
        "national": _national(folder),
        "caption": html.escape(_("Headline effects on the primary outcomes, with 95% intervals")),
        "head": "".join(f'<th scope="col">{html.escape(text)}</th>' for text in heads),
        "body": "\n".join(_html_row(row, study, keys, scales) for row in rows),
        "note": html.escape(_note()),
        "style": (TEMPLATES / "index.css").read_text(encoding="utf-8"),
        "script": script,
        "digest": base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    }
    page = (TEMPLATES / "index.html").read_text(encoding="utf-8")
    return re.sub(r"@(\w+)@", lambda match: parts[match[1]], page)  # once: what is filled in is not read again


def _label(study, key: tuple[str, str]) -> str:
    outcome, arm = key
    about = study.codebook.get(outcome)
    label = about.label if about else outcome
    unit = wording.find_unit(about.print_unit).short if about else ""
    return f"{label}{', ' + wording.label_subgroup(arm) if arm else ''}{f' ({unit})' if unit else ''}"


def _intro(rows: list[Row]) -> str:
    counts = {kind: sum(row.change == kind for row in rows) for kind in _changes()}
    told = join_list(_("{n} {change}", n=n, change=_changes()[kind]) for kind, n in counts.items() if n)
    return _("{n} provinces: {told}.", n=len(rows), told=told) if told else _("{n} provinces.", n=len(rows))


def _changes() -> dict[str, str]:
    return {"new": _("new"), "numbers": _("with other numbers"), "same": _("run again, same numbers"), "unchanged": _("unchanged"),
            "failed": _("failed"), "not started": _("not started")}  # fmt: skip


def _note() -> str:
    return _(
        "A line is a 95% interval, pointwise; a dot is the estimate; all lines of a column have one scale, and the thin upright is "
        "zero. Underpowered: the effect that would be found with 80% power is larger than the smallest effect worth finding. "
        "Every number is in the effects.csv of its report."
    )


def _national(folder: Path) -> str:
    """A line that leads to the comparison of the provinces, where there is one."""
    found = [path for path in sorted(folder.glob(f"{NATIONAL}/*/report.*")) if path.suffix != ".ipynb"]
    links = " ".join(_link(f"{NATIONAL}/{path.parent.name}/{path.name}", path.name, path.parent.name) for path in found)
    label = html.escape(_("National comparison:"))
    return f"<p>{label} {links}</p>" if links else ""


def _scale(headlines: list[Headline]) -> tuple[float, float]:
    ends = [0.0, *(end for h in headlines for end in (h.low, h.high, h.estimate) if end is not None)]
    return min(ends), max(ends)


def _html_row(row: Row, study, keys: list, scales: dict) -> str:
    label = html.escape(_("All") if row.home == "all" else label_province(row.name, study.language))
    cells = [f'<th scope="row" data-sort="{html.escape(row.name)}">{label}</th>']
    cells += [_html_headline(row, study, key, scales[key]) for key in keys]
    flags = [f"<li>{html.escape(text)}</li>" for text in _flags(row, study)]
    cells.append(f'<td data-sort="{len(flags)}"><ul>{"".join(flags)}</ul></td>')
    cells.append(f'<td data-sort="{list(_changes()).index(row.change) if row.change else 9}">{_html_change(row, study)}</td>')
    cells.append(f"<td>{_html_links(row)}</td>")
    return f'<tr class="{row.change.replace(" ", "-")}">{"".join(cells)}</tr>'


def _html_headline(row: Row, study, key: tuple[str, str], scale: tuple[float, float]) -> str:
    headline = row.headlines.get(key)
    if headline is None:
        return f'<td class="number">{wording.BLANK}</td>'
    if headline.estimate is None:
        return f'<td class="number">{html.escape(wording.WITHHELD)}</td>'
    about = study.codebook.get(key[0])
    unit = about.print_unit if about else ""
    number = html.escape(wording.format_number(headline.estimate, unit))
    interval = html.escape(wording.format_interval(headline.low, headline.high, unit)) if headline.low is not None else wording.BLANK
    return (f'<td class="number" data-sort="{headline.estimate!r}"><b>{number}</b> <span>{interval}</span>'
            f"{_svg(headline, scale)}</td>")  # fmt: skip


def _svg(headline: Headline, scale: tuple[float, float]) -> str:
    """The interval as a line on the scale of its column; the numbers stand beside it, so readers of text miss nothing."""
    low, high = scale
    width = (high - low) or 1.0

    def x(value: float) -> str:
        return f"{MARGIN + (WIDTH - 2 * MARGIN) * (value - low) / width:.1f}"

    middle = HEIGHT / 2
    line = "" if headline.low is None else f'<line class="interval" x1="{x(headline.low)}" x2="{x(headline.high)}" y1="{middle}" y2="{middle}"/>'
    return (f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" aria-hidden="true"><line class="zero" x1="{x(0)}" x2="{x(0)}" y1="1" y2="{HEIGHT - 1}"/>'
            f'{line}<circle cx="{x(headline.estimate)}" cy="{middle}" r="3"/></svg>')  # fmt: skip


def _flags(row: Row, study) -> list[str]:
    weak = [_label(study, key) for key, headline in row.headlines.items()
            if (about := study.codebook.get(key[0])) and underpowered(headline, about.benchmark_effect)]  # fmt: skip
    flags = [_("underpowered: {outcomes}", outcomes=join_list(weak))] if weak else []
    if row.failed_checks:
        flags.append(_("checks that fail: {n}", n=row.failed_checks))
    if row.withheld:
        flags.append(_("numbers withheld: {n}", n=row.withheld))
    return flags


def _html_change(row: Row, study) -> str:
    if not row.change:
        return html.escape(_("not in this run"))
    told = _changes()[row.change]
    if row.change == "failed":
        last = _("The numbers are those of the last good report.") if row.headlines else ""
        said = html.escape(join_sentences([_("{told}: {problem}", told="\0", problem=row.problem), last]))
        return said.replace("\0", f"<b>{html.escape(told)}</b>")
    if row.change == "numbers" and row.before:
        old = (f"{_label(study, key)} {_old(study, key, value)}" for key, value in row.before.items())
        told = _("{told}. {before}", told=told, before=_("Before: {numbers}", numbers=join_list(old)))
    return html.escape(told)


def _old(study, key: tuple[str, str], value: float | None) -> str:
    about = study.codebook.get(key[0])
    return wording.WITHHELD if value is None else wording.format_number(value, about.print_unit if about else "")


def _html_links(row: Row) -> str:
    return " ".join(_link(f"{row.home}/{language}/{name}", name, language) for language, name in row.links)


def _link(address: str, name: str, language: str) -> str:
    names = {"report.html": "HTML", "report.pdf": "PDF", "report.docx": "Word", FAILED: _("failed notebook")}
    text = f"{html.escape(names.get(name, name))}&nbsp;{html.escape(language)}"
    return f'<a href="{html.escape(quote(address))}">{text}</a>'
