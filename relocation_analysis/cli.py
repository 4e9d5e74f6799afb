"""The command line: `relocation report` and the commands around it.

Help and what a command says of its progress are in English only; errors are in the language of the report asked for.
"""

import sys
import tomllib
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import click

from relocation_analysis import __version__
from relocation_analysis.errors import InputError, unknown_name
from relocation_analysis.language import _, list_languages, speaking

WRITERS = {".csv": "csv", ".parquet": "Parquet", ".dta": "Stata"}

PARAMETER = click.option(
    "-p", "parameters", metavar="NAME=VALUE", multiple=True, help="Set a parameter; repeatable."
)
PROVINCE = click.option("--province", help="Name of a province; `relocation provinces` lists them.")

LANGUAGE = click.option("--language", default="en", show_default=True, help="Language of the report.")
FORMATS = click.option(
    "--format", "formats", default="html,pdf", show_default=True, help="What to write beside the record."
)
OUT = click.option("--out", type=click.Path(path_type=Path, file_okay=False), default="reports", show_default=True,
                   help="Folder of all reports.")  # fmt: skip


def parse_parameters(texts: tuple[str, ...]) -> dict[str, Any]:
    """NAME=VALUE texts as a dict: a value is a TOML scalar (true, 3, 0.5, "text") or else text as it stands.

    Raises
    ------
    InputError : no equals sign, no name, or a name given twice.
    """
    values: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        name = name.strip()
        if not equals or not name:
            raise InputError(
                _("A parameter must be NAME=VALUE"), _("{text!r} is not", text=text), _("write for example -p seed=7")
            )
        if name in values:
            raise InputError(_("A parameter must be given once"), _("{name!r} is given twice", name=name), _("keep one of them"))
        values[name] = _scalar(value.strip())
    return values


def _scalar(text: str) -> Any:
    try:
        parsed = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return text
    value = parsed["value"]
    return value if len(parsed) == 1 and isinstance(value, (bool, int, float, str)) else text


def errors_in(language: str) -> AbstractContextManager:
    """Inside the block errors are in `language`; where there is none such, in English, and `read_study` says so."""
    return speaking(language) if language in list_languages() else nullcontext()


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="relocation")
def cli() -> None:
    """Estimate how relocation affects employment, schooling and access to health care, and report it."""


@cli.command()
@click.argument("study", default="simulated")
@PROVINCE
@LANGUAGE
@FORMATS
@PARAMETER
@OUT
@click.option("--force", is_flag=True, help="Run again although the report is current.")
def report(study, province, language, formats, parameters, out, force) -> None:
    """Write the report of STUDY: the name of a shipped study or the path of a study file."""
    from relocation_analysis.data.study import read_study
    from relocation_analysis.reporting.report import write_report

    with errors_in(language):
        checked = read_study(study, province, language, parse_parameters(parameters))
        wanted = split_formats(formats)
        folder = write_report(checked, out, wanted, force)
    for name in wanted:
        click.echo(folder / f"report.{name}")


@cli.command()
@click.argument("study", default="simulated")
@click.option("--provinces", default="all", show_default=True, metavar="all|A,B,C", help="Which provinces.")
@click.option("--workers", type=click.IntRange(1), help="Chapters at a time; by default one more than there are cores.")
@click.option("--scheduler", metavar="tcp://HOST:PORT", help="A Dask scheduler whose workers are to write the reports.")
@click.option("--timeout", type=click.FloatRange(1), help="Seconds that a cell may take; 1800 by default.")
@LANGUAGE
@FORMATS
@PARAMETER
@OUT
@click.option("--force", is_flag=True, help="Run again although reports are current.")
def batch(study, provinces, workers, scheduler, timeout, language, formats, parameters, out, force) -> int:
    """Write the reports of all provinces of STUDY that are not current, then compare them."""
    from relocation_analysis.reporting.batch.driver import succeeded, write_batch
    from relocation_analysis.reporting.batch.jobs import plan_batch

    with errors_in(language):
        plan = plan_batch(study, provinces, language, parse_parameters(parameters), split_formats(formats), out, force)
        return 0 if succeeded(write_batch(plan, workers, timeout, scheduler)) else 1


def split_formats(text: str) -> tuple[str, ...]:
    """The formats that `text` names, with commas between them, each once."""
    return tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))


@cli.command()
@PROVINCE
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="File: .csv, .parquet or .dta.",
)
@PARAMETER
def simulate(province, out, parameters) -> None:
    """Write the panel of the simulated study to a file."""
    from relocation_analysis.data.panel import read_panel
    from relocation_analysis.data.study import read_study

    if out.suffix not in WRITERS:
        raise unknown_name(_("The suffix of a panel file"), out.suffix, WRITERS)
    panel = read_panel(read_study("simulated", province, "en", parse_parameters(parameters)))
    draft = out.with_name(f".{out.stem}.draft{out.suffix}")
    try:
        _write_panel(panel, draft)
        draft.replace(out)
    finally:
        draft.unlink(missing_ok=True)
    click.echo(f"{out}: {len(panel)} rows")


def _write_panel(panel, path: Path) -> None:
    if path.suffix == ".csv":
        panel.to_csv(path, index=False, lineterminator="\n", encoding="utf-8")
    elif path.suffix == ".parquet":
        panel.to_parquet(path, index=False)
    else:
        texts = {c: panel[c].astype(object).where(panel[c].notna(), "") for c in panel.select_dtypes("category")}
        numbers = {c: panel[c].astype(float) for c in panel.columns if str(panel[c].dtype) == "Int32"}
        panel.assign(**texts, **numbers).to_stata(path, write_index=False, version=118)


@cli.command()
@click.argument("study")
def get(study) -> None:
    """Download the data of STUDY and verify its checksum."""
    from relocation_analysis.data.sources import fetch
    from relocation_analysis.data.study import read_study

    data = read_study(study).data
    if data.url is None:
        click.echo(f"{study}: nothing to download")
        return
    for file in (data, *data.fill):
        click.echo(fetch(file.url, file.sha256, file.local_name))


@cli.command()
def studies() -> None:
    """List the shipped studies."""
    from relocation_analysis.data.study import list_studies, read_study

    for name in list_studies():
        click.echo(f"{name:<16}{read_study(name).heading}")


@cli.command()
def provinces() -> None:
    """List the provinces of the simulated study."""
    from relocation_analysis.data.facts import province_slugs

    for name in province_slugs():
        click.echo(name)


@cli.command()
def outcomes() -> None:
    """List the outcomes of the codebook."""
    from relocation_analysis.data.codebook import read_codebook

    for name, outcome in read_codebook().items():
        click.echo(f"{name:<20}{outcome.domain:<15}{outcome.label} ({outcome.unit})")


def main(arguments: list[str] | None = None) -> None:
    """Entry point: exit status 0 where all is written, 1 where a report failed, 2 where input is wrong."""
    sys.modules.setdefault("rfc3987_syntax", None)  # else nbformat's validator builds a grammar of addresses, which takes seconds
    try:
        status = cli.main(arguments, standalone_mode=False)
    except click.ClickException as error:
        error.show()
        status = error.exit_code
    except click.Abort:
        click.echo("Stopped.", err=True)
        status = 130
    except InputError as error:
        click.echo(str(error), err=True)
        status = 2
    except (RuntimeError, OSError) as error:
        click.echo("\n".join([str(error), *getattr(error, "__notes__", ())]), err=True)
        status = 1
    sys.exit(status if isinstance(status, int) else 0)
