"""What a person sees while reports are written: a bar on a terminal, lines wherever the output goes."""

import sys
import threading
import time

from relocation_analysis.language import _


class Progress:
    """A bar of cells on a terminal; a line for every finished chapter wherever the output goes."""

    def __init__(self, stream=None):
        from tqdm import tqdm

        self._stream, self._lock = stream or sys.stderr, threading.RLock()
        self._bar = tqdm(total=0, unit="cell", file=self._stream, disable=None, leave=False)

    def add(self, cells: int) -> None:
        """Announce `cells` more cells."""
        with self._lock:
            self._bar.total += cells
            self._bar.refresh()

    def cell(self, chapter: str) -> None:
        """A cell of `chapter` has run."""
        with self._lock:
            self._bar.set_description(chapter, refresh=False)
            self._bar.update()

    def chapter(self, chapter: str, cells: int, seconds: float) -> None:
        """A chapter has run to its end."""
        self.say(_("{chapter}: {n} cells, {seconds} s", chapter=chapter, n=cells, seconds=f"{seconds:.1f}"))

    def say(self, text: str) -> None:
        """Print a line above the bar."""
        with self._lock:
            self._bar.clear()
            print(text, file=self._stream, flush=True)
            self._bar.refresh()

    def close(self) -> None:
        """Take the bar away."""
        self._bar.close()


class BatchProgress:
    """The progress of many reports: a bar of chapters with the time left on a terminal, a line for every report."""

    def __init__(self, jobs: int, chapters: int, stream=None):
        from tqdm import tqdm

        self._stream, self._lock = stream or sys.stderr, threading.RLock()
        self._jobs, self._chapters, self._done, self._ended = jobs, jobs * chapters, 0, 0
        self._each, self._running, self._start = chapters, {}, time.monotonic()
        layout = "{desc} {percentage:3.0f}%|{bar}| {postfix}"
        self._bar = tqdm(total=self._chapters, file=self._stream, disable=None, leave=False, bar_format=layout)

    @property
    def on_terminal(self) -> bool:
        return not self._bar.disable

    def job(self, name: str) -> "JobProgress":
        """The progress of one report."""
        return JobProgress(self, name)

    def say(self, text: str) -> None:
        """Print a line above the bar."""
        with self._lock:
            self._bar.clear()
            print(text, file=self._stream, flush=True)
            self._bar.refresh()

    def running(self, name: str, what: str) -> None:
        """A report is at `what`."""
        with self._lock:
            self._running[name] = what
            self._show()

    def chapter_done(self) -> None:
        """One more chapter of one of the reports has run."""
        with self._lock:
            self._done += 1
            self._bar.update()
            self._show()

    def job_done(self, name: str, how: str, chapters: int) -> None:
        """A report is finished, one way or another; `chapters` of it were counted already."""
        with self._lock:
            self._running.pop(name, None)
            self._ended += 1
            self._done += self._each - chapters
            self._bar.update(self._each - chapters)
            left = self.time_left()
            tail = _("{k} of {n}", k=self._ended, n=self._jobs) + (_(", about {time} left", time=left) if left else "")
            self.say(f"{name}: {how} ({tail})")
            self._show()

    def time_left(self) -> str:
        """The time left as text, by the chapters that ran so far; blank at the start and at the end."""
        if not self._done or self._done >= self._chapters:
            return ""
        seconds = (time.monotonic() - self._start) * (self._chapters - self._done) / self._done
        minutes = round(seconds / 60)
        return _("{n} min", n=minutes) if minutes else _("{n} s", n=max(1, round(seconds)))

    def _show(self) -> None:
        left = self.time_left()
        self._bar.set_description(_("{k} of {n}", k=self._ended, n=self._jobs), refresh=False)
        now = ", ".join(f"{name} {what}".strip() for name, what in self._running.items())
        self._bar.set_postfix_str("; ".join(filter(None, [now, left and _("about {time} left", time=left)])))

    def close(self) -> None:
        """Take the bar away."""
        self._bar.close()


class JobProgress:
    """One report's part of a `BatchProgress`, with the methods of `Progress`."""

    def __init__(self, batch: BatchProgress, name: str):
        self._batch, self._name, self.chapters = batch, name, 0

    def add(self, cells: int) -> None:
        """Cells are not counted in a batch."""

    def cell(self, chapter: str) -> None:
        """A cell of `chapter` has run."""
        self._batch.running(self._name, chapter)

    def chapter(self, chapter: str, cells: int, seconds: float) -> None:
        """A chapter has run to its end."""
        self.chapters += 1
        self._batch.chapter_done()

    def say(self, text: str) -> None:
        """Print a line that says whose it is."""
        self._batch.say(f"{self._name}: {text}")

    def done(self, how: str) -> None:
        """The report is finished, one way or another."""
        self._batch.job_done(self._name, how, self.chapters)

    def close(self) -> None:
        """The bar is the batch's."""
