"""Build the book into _build/html and check every page of it. Started by `make html`."""

from __future__ import annotations

import argparse
import shutil
import sys
import time
from pathlib import Path

from jupyter_book.sphinx import build_sphinx
from site_check import check_site

ROOT = Path(__file__).resolve().parents[1]
BUILD = ROOT / "_build"
HTML = BUILD / "html"


def build_pages(strict: bool) -> int | BaseException:
    """Run Sphinx as `jupyter-book build` does; with ``strict`` as its ``-W -n --keep-going --all``.

    Returns Sphinx's exit status, or the error that stopped it.
    """
    return build_sphinx(
        ROOT,
        HTML,
        noconfig=True,
        path_config=ROOT / "_config.yml",
        confoverrides={
            "external_toc_path": (ROOT / "_toc.yml").as_posix(),
            "latex_individualpages": False,
            "nitpicky": strict,
        },
        warningiserror=strict,
        keep_going=strict,
        freshenv=strict,
    )


def explain(error: BaseException) -> str:
    """What stopped the build. A failing notebook is named, with its own error rather than Sphinx's."""
    cause = error.__cause__
    if type(error).__name__ != "ExecutionError" or cause is None:
        return f"The book was not built. {type(error).__name__}: {error}"
    notebook = Path(str(error)).relative_to(ROOT)
    reason = f"{cause.ename}: {cause.evalue}" if hasattr(cause, "ename") else str(cause)
    return (
        f"The book was not built: {notebook} stopped with an error.\n\n{reason}\n\n"
        f"To see where: papermill {notebook} {notebook.with_suffix('.out.ipynb').name}"
    )


def main() -> int:
    """Build, check, and say where to look."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--strict", action="store_true", help="read every page again; a warning is an error")
    parser.add_argument("--fresh", action="store_true", help="delete _build first, with all cached outputs")
    options = parser.parse_args()

    start = time.monotonic()
    if options.fresh:
        shutil.rmtree(BUILD, ignore_errors=True)
    result = build_pages(options.strict)
    if isinstance(result, BaseException):
        print(f"\n{explain(result)}", file=sys.stderr)
        return 1
    if result:
        print("\nThe book has warnings (above), and --strict allows none.", file=sys.stderr)
        return 1
    problems = check_site(HTML)
    if problems:
        print("\nThe book was built, but its pages are not right:", *problems, sep="\n  ", file=sys.stderr)
        return 1
    print(f"\nThe book was built in {time.monotonic() - start:.0f} s. Open {HTML / 'index.html'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
