"""What a browser makes of the page: nothing that keeps readers out, nothing asked of the network, complete without its script.

Chromium is driven where it is present; axe-core is the one that the package axe_playwright_python carries.
"""

import re
import runpy
import shutil
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import pytest

from relocation_analysis.data.study import read_study
from relocation_analysis.reporting.page.render import HTMLReport

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this machine")
OPTIONS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
CASES = [(language, scheme) for language in ("en", "zh") for scheme in ("light", "dark")]
# Level A and AA of WCAG, and what axe holds to be good practice.
AXE = "axe.run(document, {resultTypes: ['violations']}).then(r => r.violations.map(v => [v.id, v.nodes.map(n => n.html.slice(0, 200))]))"
TAB_STOPS = """() => { const e = document.activeElement; const r = e.getBoundingClientRect();
    return [e.tagName, e.className, (e.textContent || '').trim().slice(0, 40), r.width > 0 && r.height > 0, getComputedStyle(e).outlineStyle]; }"""


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=OPTIONS)
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def pages(record, tmp_path_factory) -> dict[str, Path]:
    """The record as a file, and the index of a batch, by language."""
    folder = tmp_path_factory.mktemp("pages")
    paths = {}
    for language in ("en", "zh"):
        paths[language] = folder / f"{language}.html"
        paths[language].write_text(HTMLReport().from_notebook_node(record.make_record(language))[0], encoding="utf-8")
        paths[f"index-{language}"] = folder / f"index-{language}.html"
        paths[f"index-{language}"].write_text(make_index(folder / "batch", language), encoding="utf-8")
    return paths


def make_index(folder: Path, language: str) -> str:
    """The index of a batch: one province without flags, one with all of them, one that failed."""
    made = SimpleNamespace(**runpy.run_path(str(Path(__file__).parent / "reporting" / "batch" / "test_index.py")))
    made.publish(folder, "guizhou", made.ESTIMATES, language)
    made.publish(folder, "yunnan", made.ESTIMATES | {"unmet": None}, language, checks=("False", "True"), withheld=3, formats=("html",))
    ended = [made.Ended("guizhou", "done"), made.Ended("yunnan", "unchanged"), made.Ended("gansu", "failed", "employment", "a <problem>")]
    study = read_study("simulated").model_copy(update={"province": None})
    return made.page_of(study, folder, ended, None, language)


@pytest.fixture
def visit(browser, pages):
    """Open the page of a language; requests and messages are kept in `asked` and `said`."""
    contexts = []

    def open_page(language: str, width: int = 1280, **how):
        context = browser.new_context(viewport={"width": width, "height": 900}, **how)
        contexts.append(context)
        page = context.new_page()
        page.asked, page.said = [], []
        page.on("request", lambda request: page.asked.append(request.url))
        page.on("console", lambda message: page.said.append(message.text))
        page.on("pageerror", lambda error: page.said.append(str(error)))
        page.goto(pages[language].as_uri())
        return page

    yield open_page
    for context in contexts:
        context.close()


def axe() -> str:
    """The source of axe-core."""
    return next(Path(find_spec("axe_playwright_python").submodule_search_locations[0]).rglob("axe.min.js")).read_text(encoding="utf-8")


@pytest.mark.parametrize(("language", "scheme"), CASES)
@pytest.mark.parametrize("width", [1280, 400])
def test_axe_finds_no_violation(visit, language, scheme, width):
    page = visit(language, width, color_scheme=scheme, bypass_csp=True)
    page.evaluate("document.querySelectorAll('details').forEach(part => { part.open = true; })")
    page.evaluate(axe())
    assert page.evaluate(AXE) == []


@pytest.mark.parametrize(("language", "scheme"), CASES)
@pytest.mark.parametrize("width", [1280, 400])
def test_axe_finds_no_violation_in_the_index_of_a_batch(visit, language, scheme, width):
    page = visit(f"index-{language}", width, color_scheme=scheme, bypass_csp=True)
    page.evaluate(axe())
    assert page.evaluate(AXE) == []
    assert [url for url in page.asked if not url.startswith("data:")] == [page.url] and page.said == []


def test_axe_would_find_what_is_wrong(visit):
    page = visit("en", bypass_csp=True)
    page.evaluate("document.querySelector('figure img').removeAttribute('alt'); document.body.style.color = '#eee'")
    page.evaluate(axe())
    assert {"image-alt", "color-contrast"} <= {name for name, _ in page.evaluate(AXE)}


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_page_asks_for_nothing_and_complains_of_nothing(visit, language):
    page = visit(language)
    page.evaluate("window.scrollTo(0, document.body.scrollHeight)")
    page.wait_for_timeout(100)
    assert [url for url in page.asked if not url.startswith("data:")] == [page.url]
    assert page.said == []


def test_the_policy_lets_no_other_script_run_and_nothing_be_fetched(visit):
    page = visit("en")
    page.evaluate("""() => { const s = document.createElement('script'); s.textContent = 'window.hacked = 1'; document.body.append(s);
        const i = new Image(); i.src = 'http://127.0.0.1:9/x.png'; document.body.append(i); }""")
    assert page.evaluate("fetch('http://127.0.0.1:9/x').then(() => 'fetched', () => 'refused')") == "refused"
    assert page.evaluate("window.hacked") is None
    assert len(page.said) >= 3 and all("Content Security Policy" in text or "CSP" in text for text in page.said)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_landmarks_language_and_headings_are_in_order(visit, language):
    page = visit(language)
    assert page.evaluate("document.documentElement.lang") == {"en": "en", "zh": "zh-CN"}[language]
    found = page.evaluate("[...document.querySelectorAll('body > aside, header, nav, main, footer')].map(e => e.tagName)")
    assert found == ["ASIDE", "HEADER", "NAV", "MAIN", "FOOTER"]
    levels = page.evaluate("[...document.querySelectorAll('h1,h2,h3,h4,h5,h6')].map(e => +e.tagName[1])")
    assert levels[0] == 1 and levels.count(1) == 1 and all(b - a <= 1 for a, b in zip(levels, levels[1:]))
    assert page.evaluate("[...document.querySelectorAll('nav, aside, [role=group]')].every(e => e.ariaLabel || document.getElementById(e.getAttribute('aria-labelledby')))")


def test_every_cell_of_a_table_has_its_heads(visit):
    page = visit("en")
    assert page.evaluate("[...document.querySelectorAll('th')].every(e => e.scope)")
    assert page.evaluate("""[...document.querySelectorAll('td[headers]')].every(cell =>
        cell.headers.split(' ').every(id => document.getElementById(id) && cell.closest('table').contains(document.getElementById(id))))""")
    assert page.evaluate("document.querySelectorAll('#tbl-levels td[headers]').length") == 8


def test_the_keyboard_goes_from_the_skip_link_through_the_page_in_reading_order(visit):
    page = visit("en")
    stops = []
    for _ in range(60):
        page.keyboard.press("Tab")
        stops.append(page.evaluate(TAB_STOPS))
        if stops[-1][0] == "BODY":
            break
    assert stops[0][:3] == ["A", "skip", "Skip to the text"]
    seen = [stop for stop in stops if stop[0] != "BODY"]
    assert all(shown and outline != "none" for *_, shown, outline in seen)
    order = [text for _, _, text, *_ in seen]
    wanted = ["Skip to the text", "Figure 1", "Show all code", "Dark page", "1 Overview", "Code"]
    places = [next(k for k, text in enumerate(order) if text.replace("\xa0", " ").startswith(start)) for start in wanted]
    assert places == sorted(places)
    assert {"SUMMARY", "BUTTON", "A", "DIV", "math"} == {tag for tag, *_ in seen}  # a table that scrolls can be scrolled by keys


def test_the_skip_link_leads_to_the_text(visit):
    page = visit("en")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"


def test_one_button_opens_all_code_and_the_other_turns_the_page_dark(visit):
    page = visit("en", color_scheme="light")
    code, dark = page.get_by_role("button", name="Show all code"), page.get_by_role("button", name="Dark page")
    code.press("Enter")
    assert page.evaluate("[...document.querySelectorAll('details.code')].every(e => e.open)")
    assert code.get_attribute("aria-pressed") == "true"
    code.click()
    assert page.evaluate("[...document.querySelectorAll('details.code')].every(e => !e.open)")
    light = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert dark.get_attribute("aria-pressed") == "false"
    dark.press("Space")
    assert dark.get_attribute("aria-pressed") == "true"
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != light
    assert page.evaluate("getComputedStyle(document.querySelector('figure img')).filter") != "none"
    dark.click()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == light


def test_a_page_turned_dark_by_hand_has_no_violation(visit):
    page = visit("en", color_scheme="light", bypass_csp=True)
    page.get_by_role("button", name="Dark page").click()
    page.evaluate(axe())
    assert page.evaluate(AXE) == []


def test_the_contents_mark_what_is_read(visit):
    page = visit("en")
    page.evaluate("document.getElementById('provenance').scrollIntoView()")
    page.wait_for_function("document.querySelector('nav [aria-current]').textContent.includes('Year by year')", timeout=5000)
    assert page.evaluate("document.querySelectorAll('nav [aria-current]').length") == 1


def test_without_its_script_the_page_is_complete_and_has_no_dead_button(visit):
    page = visit("en", java_script_enabled=False)
    text = page.inner_text("body")
    assert "The move raised wage work" in text and "Row 70" in text and "Contents" in text.title()
    assert not page.is_visible(".tools") and page.is_visible("details.code summary")


@pytest.mark.parametrize("language", ["en", "zh"])
def test_no_window_is_too_narrow(visit, language):
    page = visit(language, 320)
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")


def test_equations_are_set_in_the_font_that_the_page_carries(visit):
    page = visit("en")
    assert page.evaluate("document.fonts.ready.then(() => document.fonts.check('16px \"STIX Two Math\"', '\u2211'))")
    loaded = page.evaluate("document.fonts.ready.then(() => [...document.fonts].map(f => [f.family, f.status]))")
    assert any("STIX Two Math" in family and status == "loaded" for family, status in loaded)


def test_the_print_is_a4_on_white_without_what_only_a_screen_needs(visit, tmp_path):
    pypdf = pytest.importorskip("pypdf")
    page = visit("en", color_scheme="dark")
    page.emulate_media(media="print")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert not page.is_visible("nav") and not page.is_visible("details.code")
    page.pdf(path=tmp_path / "print.pdf", prefer_css_page_size=True)
    sheets = pypdf.PdfReader(tmp_path / "print.pdf").pages
    assert [round(float(side)) for side in sheets[0].mediabox[2:]] == [595, 842]
    text = re.sub(r"\s+", " ", " ".join(sheet.extract_text() for sheet in sheets))
    assert "What moving did" in text and "Row 70" in text and "Show all code" not in text
