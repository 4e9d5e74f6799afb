"""The language a report speaks. Sentences stand in the code in English; a catalogue holds them in another language.

`_("Of {n} checks, {k} fail", n=9, k=1)` is the sentence in the language spoken now, with the values put in: the numbers of
a sentence are the same objects in every language. `mark("Employment")` only marks a text for the catalogue; the text is
translated where it is printed, by `_(text)`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

CATALOGUES = Path(__file__).with_name("catalogues")
SOURCE = "en"

_spoken = SOURCE


def list_languages() -> tuple[str, ...]:
    """The languages a report can be written in: English, and one for each catalogue."""
    return SOURCE, *sorted(path.stem for path in CATALOGUES.glob("*.po"))


def spoken() -> str:
    """The language spoken now."""
    return _spoken


def speak(language: str) -> None:
    """Speak `language` from here on.

    Raises
    ------
    ValueError : there is no catalogue of it.
    """
    global _spoken
    if language not in list_languages():
        raise ValueError(f"there is no catalogue of {language!r}; there are {', '.join(list_languages())}")
    _spoken = language


@contextmanager
def speaking(language: str) -> Iterator[None]:
    """Speak `language` inside the block."""
    before = spoken()
    speak(language)
    try:
        yield
    finally:
        speak(before)


@cache
def read_catalogue(language: str) -> dict[str, str]:
    """English text -> its translation; empty for English."""
    from babel.messages.pofile import read_po

    if language == SOURCE:
        return {}
    with open(CATALOGUES / f"{language}.po", "rb") as file:
        return {message.id: message.string for message in read_po(file, locale=language) if message.id and message.string}


def _(template: str, /, **values) -> str:
    """`template` in the language spoken now, its `{fields}` filled with `values`; English where it has no translation."""
    text = template if _spoken == SOURCE else read_catalogue(_spoken).get(template, template)
    return text.format(**values) if values else text


def mark(text: str, /) -> str:
    """`text` itself, which the catalogue is to have: for texts that are translated later, where they are printed."""
    return text


def join_list(items) -> str:
    """Items of a list inside a sentence: "a, b" or "a\u3001b"."""
    return _(", ").join(items)


def join_clauses(parts) -> str:
    """Clauses of one sentence: "a; b" or "a\uff1bb"."""
    return _("; ").join(parts)


def join_sentences(sentences) -> str:
    """Sentences of a paragraph, those that are blank left out; Chinese has no space between them."""
    return ("" if _spoken == "zh" else " ").join(filter(None, sentences))
