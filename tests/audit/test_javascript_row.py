"""The audit compares canvases with the book's JavaScript renderer, where it can be run."""

import shutil

import pytest

from attn_tutorial.audit import javascript
from attn_tutorial.audit.javascript import MODULE, compare_javascript

needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="no Node.js")


@needs_node
def test_the_same_pixels_in_javascript(train, test_images):
    for images, count in ((test_images, 30), (train, 20)):  # with a bank, and as its own pool
        row = compare_javascript(images, count)
        assert (row.way, row.canvases, row.pixels, row.mask_pixels) == ("in JavaScript", count, 0, 0)


@needs_node
@pytest.mark.parametrize(("part", "counts"), [("canvas", (10, 0)), ("visible", (0, 10))])
def test_a_renderer_that_differs_is_noticed(test_images, tmp_path, monkeypatch, part, counts):
    module = tmp_path / "clutter.mjs"
    module.write_text(
        f"""
        import {{ render as draw }} from "{MODULE.as_uri()}";
        export {{ makeImages }} from "{MODULE.as_uri()}";
        export function render(given) {{
          const drawn = draw(given);
          drawn.{part}[0] ^= 1;
          return drawn;
        }}
        """
    )
    monkeypatch.setattr(javascript, "MODULE", module)
    row = compare_javascript(test_images, 10)
    assert (row.pixels, row.mask_pixels) == counts


def test_without_node_or_the_module_it_is_not_run(test_images, tmp_path, monkeypatch):
    monkeypatch.setattr(javascript.shutil, "which", lambda name: None)
    assert compare_javascript(test_images, 10).pixels is None
    monkeypatch.undo()
    monkeypatch.setattr(javascript, "MODULE", tmp_path / "nowhere.mjs")
    row = compare_javascript(test_images, 10)
    assert (row.canvases, row.pixels, row.mask_pixels) == (10, None, None)


@needs_node
def test_a_module_that_fails_is_said(test_images, tmp_path, monkeypatch, caplog):
    (tmp_path / "clutter.mjs").write_text("throw new RangeError('broken on purpose');")
    monkeypatch.setattr(javascript, "MODULE", tmp_path / "clutter.mjs")
    assert compare_javascript(test_images, 10).pixels is None
    assert "RangeError: broken on purpose" in caplog.text
