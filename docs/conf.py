"""Configuration of the Sphinx site."""

import inspect
import os
import re
from pathlib import Path

import matplotlib
from sphinx_gallery.sorting import FileNameSortKey

import synth_estimators

matplotlib.use("Agg")

# Examples train small networks: a second thread costs more than it brings.
os.environ.setdefault("OMP_NUM_THREADS", "1")

project = "synth_estimators"
author = "The synth_estimators developers"
project_copyright = "2026, The synth_estimators developers"
version = release = synth_estimators.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.extlinks",
    "sphinx.ext.mathjax",
    "numpydoc",
    "sphinx_copybutton",
    "sphinx_gallery.gen_gallery",
    "myst_parser",
]
exclude_patterns = ["_build", "_templates", "examples", "auto_examples/*.ipynb"]
templates_path = ["_templates"]
default_role = "literal"

autosummary_generate = True
autodoc_typehints = "none"
autodoc_member_order = "groupwise"
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False
extlinks = {"doi": ("https://doi.org/%s", "doi:%s")}
myst_heading_anchors = 3
suppress_warnings = ["config.cache"]

html_theme = "pydata_sphinx_theme"
html_title = f"synth_estimators {version}"
html_static_path = ["_static"]
html_show_sourcelink = False
html_theme_options = {
    "show_prev_next": True,
    "navigation_with_keys": False,
    "secondary_sidebar_items": ["page-toc"],
    "show_toc_level": 2,
    "footer_start": ["copyright"],
    "footer_end": ["theme-version"],
}

copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

sphinx_gallery_conf = {
    "examples_dirs": "examples",
    "gallery_dirs": "auto_examples",
    "filename_pattern": r"plot_",
    "within_subsection_order": FileNameSortKey,
    "abort_on_example_error": True,
    "remove_config_comments": True,
    "show_memory": False,
    "min_reported_time": 0,
    "download_all_examples": False,
    "plot_gallery": True,
    "doc_module": ("synth_estimators",),
    "backreferences_dir": None,
}

_SCIKIT_LEARN = Path(inspect.getfile(__import__("sklearn"))).parent


def _is_inherited_helper(method):
    """Whether a method comes from scikit-learn or skorch, whose own sites document it."""
    try:
        source = Path(inspect.getfile(inspect.unwrap(method)))
    except TypeError:
        return True
    return _SCIKIT_LEARN in source.parents


def _skip_helpers(app, what, name, obj, skip, options):
    if what == "class" and callable(obj) and not inspect.isclass(obj):
        return skip or _is_inherited_helper(obj)
    return skip


def _escape_attribute_names(app, what, name, obj, options, lines):
    """Keep names such as n_features_in_ in the types of numpydoc from being read as links."""
    for position, line in enumerate(lines):
        lines[position] = re.sub(r"(?<![`\w.*])(n_\w*[a-z])_(?=[,)\s]|$)", r"\1\\_", line)


def setup(app):
    """Leave methods that scikit-learn documents out of the class pages."""
    app.connect("autodoc-skip-member", _skip_helpers)
    app.connect("autodoc-process-docstring", _escape_attribute_names, priority=900)
