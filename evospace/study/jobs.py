"""The queue of a study or a ranking: what it says of each job, and what it raises where jobs came to nothing."""

from collections.abc import Callable, Mapping
from pathlib import Path

from evospace.runs.processes import ASKED, Queue, Work, error_of


def do_jobs(
    works: Mapping[str, Work],
    told: Callable[[str], str],
    say: Callable[[str], None],
    *,
    folder: Path,
    jobs: int,
    minutes: float,
    module: str,
    what: str,
    noun: str,
    again: str,
) -> None:
    """Do `works`, `jobs` at a time in folders below `folder`, for `minutes` (0: until all are done).

    `told` is called with the key of each that has ended and gives what it came to, or "" where it left no result;
    `module` is loaded once for all; `what` is done, and `again` is the command that goes on with it. A `noun` (job,
    training) that ends without a result, and was not asked to end, is told at once; for all of those an `EvospaceError`
    with their exit code is raised when the others are done. Raises `InterruptedRunError` where a signal ended it.
    """
    broken: dict[str, int] = {}

    def ended(key: str, code: int) -> None:
        text = told(key)
        if text:
            say(text)
        elif code not in ASKED:
            broken[key] = code
            say(f"{key}: ended with exit code {code} and no result; see {folder / key / 'log.txt'}")

    queue = Queue(folder=folder, jobs=jobs, seconds=60 * minutes, module=module, on_end=ended)
    if not queue.run(works, what, again):
        say(f"stopped after {minutes:g} minutes; everything is saved")
    if queue.taken:
        say(f"another process is at {len(queue.taken)} of {len(works)} {noun}s")
    if broken:
        text = (
            f"{len(broken)} of {len(works)} {noun}s ended without a result (see above; the first: {next(iter(broken))})"
        )
        raise error_of(broken.values())(f"{text}; the others are stored, and those are tried again by: {again}")
