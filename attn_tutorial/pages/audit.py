"""Sections of the page on the benchmark's audit: each shows what one report says about one promise."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from IPython.display import Markdown, display

from attn_tutorial.audit.report import AuditReport
from attn_tutorial.datasets import load_images
from attn_tutorial.engine.images import prepare_images
from attn_tutorial.figures import audit as figures
from attn_tutorial.figures import audit_tables as tables
from attn_tutorial.figures import severity_choice as choice
from attn_tutorial.figures import show, show_table
from attn_tutorial.figures.headroom import describe_headroom_figure, headroom_figure

_SMOKE = "A test of the machinery, not a result"


def main_report(reports: Iterable[AuditReport]) -> AuditReport | None:
    """Return the report that a page is about: a result, if there is one, of the longest training; None without any."""
    return max(reports, key=lambda report: (report.is_result, report.training_samples), default=None)


def show_in_short(report: AuditReport | None) -> None:
    """Show what was found, and how much a network loses that is not told where the target is."""
    if report is None:
        display(Markdown("No report is here yet: `attn-tutorial data audit` writes one."))
        return
    display(Markdown(tables.in_short(report)))
    show_headroom(report)


def show_headroom(report: AuditReport | None) -> None:
    """Show accuracy over severity of the baseline and of both oracles."""
    if report is None:
        return
    frame = tables.headroom_frame(report)
    show(
        lambda: headroom_figure(frame),
        alt=describe_headroom_figure(frame),
        caption="What backgrounds cost the baseline (shaded), and what they cost networks that are told where the "
        f"target is, right or wrong. Training saw surround+noise at severities 0 to 2. {_about(report)}.",
    )


def show_no_leak(report: AuditReport | None) -> None:
    """Show promise 1: networks and detectors that never saw a target."""
    if report is None:
        return
    display(Markdown(tables.verdict(report, 1)))
    show(
        lambda: figures.leak_figure(report),
        alt=figures.describe_leak(report),
        caption="Networks that never saw a target, on canvases without one. All intervals of the judged network "
        f"together have 95 %. {report.no_leak.guesses[0].images:,} test images.{_smoke(report)}",
    )
    show(
        lambda: figures.detector_figure(report),
        alt=figures.describe_detectors(report),
        caption="Places that detectors find, with intervals, and what chance finds (ticks). "
        f"{tables.contrast(report)}{_smoke(report)}",
    )
    _show_detectors(report)


def show_same_pixels(report: AuditReport | None) -> None:
    """Show promise 2: other ways of rendering."""
    if report is None:
        return
    display(Markdown(tables.verdict(report, 2)))
    show_table(tables.pixel_table(report), f"Pixels that differ from batches of 128 in one thread.{_smoke(report)}")


def show_even_fall(report: AuditReport | None) -> None:
    """Show promise 3: the baseline's accuracy over severity."""
    if report is None:
        return
    display(Markdown(tables.verdict(report, 3)))
    images = f"{report.even_fall.rows[0].images:,} test images"
    show(
        lambda: figures.fall_figure(report),
        alt=figures.describe_fall(report),
        caption=f"The baseline in every composition; background types come first. {images}.{_smoke(report)}",
    )
    show_table(
        tables.fall_table(report),
        f"Cost of each step of severity, in points, with its 95 % interval over the test images.{_smoke(report)}",
    )


def show_whole_target(report: AuditReport | None) -> None:
    """Show promise 4: pixels of targets, and what the oracles win back."""
    if report is None:
        return
    display(Markdown(tables.verdict(report, 4)))
    show_table(
        tables.cost_table(report),
        "Accuracy at severity 0 in %; distraction costs in points; and the share of the baseline's cost that is won "
        f"back, in %. The oracle input has its costs by construction.{_smoke(report)}",
    )
    show_table(
        tables.touched_table(report),
        f"Pixels of targets on canvases of background types, at severities 1 to 5.{_smoke(report)}",
    )


def show_no_test_image(report: AuditReport | None, data: str | None, root: Path) -> None:
    """Show promise 5: where distractors come from, and near-duplicates where the report's own images are at hand.

    Args:
        report: the report.
        data: names the images, see `prepare_images`.
        root: the folder that contains `raw/`.

    """
    if report is None:
        return
    display(Markdown(tables.verdict(report, 5)))
    show_table(tables.source_table(report), f"Images that layers show in a whole epoch.{_smoke(report)}")
    if report.no_test_image.duplicates:
        show_table(tables.duplicate_table(report), f"Near-duplicates that were found.{_smoke(report)}")
    else:
        display(Markdown("No near-duplicates were found."))
    if report.no_test_image.examples:
        _show_twins(report, data, root)


def show_weak_background(report: AuditReport | None) -> None:
    """Show promise 6: what becomes of networks that were trained on the weak background, or on a blank one."""
    if report is None:
        return
    display(Markdown(tables.verdict(report, 6)))
    show(
        lambda: figures.background_figure(report),
        alt=figures.describe_background(report),
        caption="Networks trained at severity 0 only, on its weak background and on a blank one, by what they were "
        f"tested on. {report.even_fall.rows[0].images:,} test images.{_smoke(report)}",
    )


def show_report(report: AuditReport) -> None:
    """Show a report that stands beside the one that the page is about: what was found, and the main figure."""
    display(Markdown(f"**{_about(report)}**"))
    if report.broken:
        names = ", ".join(f"{number} ({promise.title})" for number, promise in report.broken.items())
        display(Markdown(f"**Not kept here: promise {names}.**"))
    display(Markdown(tables.verdicts(report)))
    show_headroom(report)
    show_table(tables.fall_table(report), f"Cost of each step of severity, in points.{_smoke(report)}")
    _show_detectors(report)


def show_candidates(file: Path) -> None:
    """Show the candidates for the severity tables, and what they cost.

    Args:
        file: see `figures.severity_choice.read_candidates`.

    """
    candidates = choice.read_candidates(file)
    if candidates is None:
        display(Markdown("No candidate was recorded yet: `benchmarks/background_table.py` records them."))
        return
    images = ", ".join(f"{count:,}" for count in candidates["images"].unique())
    samples = ", ".join(f"{count:,}" for count in candidates["samples"].unique())
    about = f"{'; '.join(candidates['source'].unique())}; {images} validation images; {samples} training samples"
    show(
        lambda: choice.candidate_figure(candidates),
        alt=choice.describe_candidates(candidates),
        caption="Accuracy under each candidate table, a line for each network; the tables that the layers have now "
        f"are marked. {about}.",
    )
    show_table(choice.level_table(candidates), "The candidates: number × px by severity, for a target of 32 px.")
    show_table(
        choice.candidate_table(candidates),
        "Accuracy at severity 0 in %, and the cost of each step of severity and of all of them (the distraction cost) "
        f"in points. {about}.",
    )


def describe_making(report: AuditReport | None) -> str:
    """Say with what a report was made, in Markdown."""
    if report is None:
        return ""
    layers = _listed(report.layer_versions)
    return f"Layer versions: {layers}; {_listed(report.versions)}; {report.processor}; {report.finished_at}."


def _about(report: AuditReport) -> str:
    """Say which images and networks a report is about."""
    return (
        f"{report.data.source}, targets of {report.size} px on {report.canvas} px; preset {report.preset}, "
        f"{report.training_samples:,} training samples, one seed" + ("" if report.is_result else f". {_SMOKE}")
    )


def _smoke(report: AuditReport) -> str:
    """Return a sentence for a caption if the report is not a result."""
    return "" if report.is_result else f" {_SMOKE}."


def _show_detectors(report: AuditReport) -> None:
    canvases = report.no_leak.detections[0].canvases
    show_table(
        tables.detector_table(report),
        "Places that detectors find within one pixel, in %, with intervals; after the comma, what chance finds. "
        f"{canvases:,} canvases each.{_smoke(report)}",
    )


def _show_twins(report: AuditReport, data: str | None, root: Path) -> None:
    prepared, source = prepare_images("shapes" if report.data.name == "shapes" else data, root)
    if prepared.fingerprint != report.data.fingerprint:
        display(Markdown("The images of this report are not at hand, so none of them is shown."))
        return
    train, test = (load_images(prepared.name, split, root, source) for split in ("train", "test"))
    show(
        lambda: figures.twins_figure(report, train, test),
        alt=figures.describe_twins(report),
        caption=f"Training images above, their near-duplicates in the test file below.{_smoke(report)}",
    )


def _listed(versions: Mapping[str, object]) -> str:
    return ", ".join(f"{name} {version}" for name, version in versions.items())
