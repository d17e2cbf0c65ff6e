"""The book's own Sphinx extension: local mathematics, the repository's buttons, no stale notebooks, search in prose."""

from __future__ import annotations

import os
import shutil
from importlib.util import find_spec
from pathlib import Path

from docutils import nodes
from notebook_inputs import fingerprint
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.environment import BuildEnvironment
from sphinx.errors import ExtensionError

REPOSITORY_VARIABLE = "ATTN_TUTORIAL_REPOSITORY"


def add_repository(app: Sphinx, config: Config) -> None:
    """Launch, repository and edit buttons, where the environment says which repository they lead to."""
    repository = os.environ.get(REPOSITORY_VARIABLE, "").rstrip("/")
    if not repository:
        return
    if not repository.startswith("https://"):
        raise ExtensionError(
            f"{REPOSITORY_VARIABLE} is {repository!r}, but must be an address such as https://github.com/owner/name."
        )
    config.html_theme_options |= {
        "repository_url": repository,
        "repository_branch": "main",
        "path_to_docs": "",
        "use_repository_button": True,
        "use_edit_page_button": True,
        "use_issues_button": True,
        "launch_buttons": {
            "notebook_interface": "jupyterlab",
            "binderhub_url": "https://mybinder.org",
            "colab_url": "https://colab.research.google.com",
        },
    }


def copy_mathjax(app: Sphinx) -> None:
    """One file of MathJax (TeX in, SVG out: no fonts to load), and its licence."""
    package = find_spec("mathjax")
    if package is None or not package.submodule_search_locations:
        raise ExtensionError("MathJax is not installed, and pages need it: pip install django-static-mathjax")
    source = Path(package.submodule_search_locations[0]) / "static" / "mathjax"
    script = app.outdir / "_static" / app.config.mathjax_path
    script.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source / "es5" / script.name, script)
    shutil.copyfile(source / "LICENSE", script.with_name("LICENSE"))


def drop_stale_outputs(app: Sphinx) -> None:
    """Empty the cache of executed notebooks when what they depend on has changed: its key is their code."""
    mark = _inputs_mark(app)
    cache = mark.parent
    inputs = fingerprint(Path(app.srcdir))
    if cache.exists() and not (mark.is_file() and mark.read_text() == inputs):
        shutil.rmtree(cache)
    cache.mkdir(parents=True, exist_ok=True)
    mark.write_text(inputs)


def reread_notebooks(
    app: Sphinx, env: BuildEnvironment, added: set[str], changed: set[str], removed: set[str]
) -> list[str]:
    """Notebooks that were last read under other inputs than the cache has now."""
    inputs = _inputs_mark(app).read_text()
    before, env.notebook_inputs = getattr(env, "notebook_inputs", None), inputs
    if before == inputs:
        return []
    executed = {app.config.root_doc, *(name for name in env.all_docs if str(env.doc2path(name)).endswith(".ipynb"))}
    return sorted(executed & set(env.all_docs))


def search_prose_only(app: Sphinx) -> None:
    """Leave code out of the search index, and put pages first whose titles have the words that are searched."""
    index_page = getattr(app.builder, "index_page", None)
    if index_page is None:  # a builder without search
        return

    def index_prose(name: str, doctree: nodes.document, title: str) -> None:
        prose = doctree.deepcopy()
        for code in list(prose.findall(nodes.literal_block)):
            code.parent.remove(code)
        index_page(name, prose, title)

    app.builder.index_page = index_prose
    app.config.html_search_scorer = str(Path(__file__).with_name("search_scorer.js"))


def _inputs_mark(app: Sphinx) -> Path:
    """Says under which inputs the notebooks in myst-nb's cache were executed."""
    return app.outdir.parent / ".jupyter_cache" / "inputs.sha256"


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.connect("config-inited", add_repository)
    app.connect("builder-inited", copy_mathjax)
    app.connect("builder-inited", drop_stale_outputs)
    app.connect("builder-inited", search_prose_only)
    app.connect("env-get-outdated", reread_notebooks)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
