"""The site of `make docs`: the Markdown pages of the repository, where they are, with a navigation around them.

There is no second copy of a page, and none is written for the site: what reads well in the repository reads well here. A link
that leads nowhere, to a page, to a heading or to a file, fails the build.
"""

import shutil
from pathlib import Path

from docutils import nodes
from pygments.lexers.special import TextLexer

ROOT = Path(__file__).resolve().parents[2]

# Caption and pages, without `.md`. A page that is not there is left out; a `*` stands for any name.
NAVIGATION = [
    ("The filters", [
        "filters/gateway/README",
        "filters/api-key-quota/README",
        "filters/transform/README",
        "filters/error-response/README",
        "filters/dlp/README",
    ]),
    ("Deploy", ["envoy-configs/README", "istio/README", "istio/*", "cli/README"]),
    ("Run", ["docs/operations", "docs/figures", "docs/comparison"]),
    ("Build", ["docs/architecture", "docs/decisions", "docs/releasing", "CONTRIBUTING", "CHANGELOG"]),
]


def existing(pattern):
    """The pages of a pattern."""
    return sorted(path.relative_to(ROOT).with_suffix("").as_posix() for path in ROOT.glob(pattern + ".md"))


def navigation():
    """The captions with the pages that are there, each once."""
    seen = set()
    for caption, patterns in NAVIGATION:
        pages = dict.fromkeys(page for pattern in patterns for page in existing(pattern) if page not in seen)
        seen.update(pages)
        if pages:
            yield caption, list(pages)


project = "Meshgate"
html_title = "Meshgate"
html_theme = "furo"
html_show_copyright = False
html_show_sphinx = False
html_copy_source = False

extensions = ["myst_parser"]
root_doc = "README"
include_patterns = ["README.md"] + [page + ".md" for _, pages in navigation() for page in pages]
# Large, and none of it a page.
exclude_patterns = [".git", ".tools", "dist", "target", "**/target"]

# The names that GitHub gives to headings, so that a link is good in both places.
myst_heading_anchors = 4
nitpicky = True
# Text stays as it was typed.
smartquotes = False
# Heads with a body under them, and texts with dots for what is left out, are no whole documents of their language.
suppress_warnings = ["misc.highlighting_failure"]


def setup(app):
    # Blocks that the tests run (tests/tests/docs); there is no more to colour in them.
    app.add_lexer("requests", TextLexer)
    app.connect("source-read", add_navigation)
    app.connect("missing-reference", directory)
    app.connect("doctree-resolved", collect_links)
    app.connect("build-finished", finish)
    return {"parallel_read_safe": True}


def add_navigation(app, page, source):
    """Puts the navigation behind the front page, which has none of its own in the repository."""
    if page != app.config.root_doc:
        return
    for caption, pages in navigation():
        source[0] += "\n\n```{toctree}\n:hidden:\n:caption: " + caption + "\n\n" + "\n".join("/" + page for page in pages) + "\n```\n"


def directory(app, env, link, text):
    """A directory is a place to link to in the repository, and has no page here: its name stays, without a link."""
    here = Path(env.doc2path(link["refdoc"])).parent
    return text if (here / link["reftarget"]).is_dir() else None


# Not asked whether they are there: a build needs no network.
external = set()


def collect_links(app, doctree, page):
    links = (link.get("refuri", "") for link in doctree.findall(nodes.reference))
    external.update(link for link in links if link.startswith(("http://", "https://")))


def finish(app, exception):
    if exception or app.builder.name != "html":
        return
    out = Path(app.outdir)
    shutil.copyfile(out / "README.html", out / "index.html")
    (out / "external-links.txt").write_text("".join(link + "\n" for link in sorted(external)))
