"""Pages drawn again for the sample viewer: from configuration and data, without a model.

Pages and codecs are deterministic, so nothing of them is stored in records. What cannot be drawn
any more (other data, another version's configuration) is said and left out.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from freqexp.comparing.comparison import Comparison
from freqexp.comparing.text import plain
from freqexp.report.drawer import Drawer, Redrawn, reason, sample_ids

IMAGES = 320
IMAGE_BYTES = 12 << 20
PAGES_A_SAMPLE = 4
CODECS = 8
SECONDS = 5.0


@dataclass(frozen=True)
class Limits:
    """How many images a report may hold, their summed PNG size, pages of one sample, codec settings
    of a group, and how much processor time drawing may take before the last sample is begun.
    """

    images: int = IMAGES
    image_bytes: int = IMAGE_BYTES
    pages: int = PAGES_A_SAMPLE
    codecs: int = CODECS
    seconds: float = SECONDS


def redraw(comparison: Comparison, limits: Limits | None = None) -> Redrawn:
    """Questions of all samples, and images of as many samples as the limits allow.

    Samples that flipped in most runs come first, those with the largest summed change next, and the
    groups take turns.
    """
    limits = Limits() if limits is None else limits
    found = Redrawn()
    drawers = []
    for group, title in enumerate(comparison.groups):
        rows = comparison.of_group(group)
        try:
            drawers.append(Drawer(group, rows, found, limits.codecs))
        except Exception as error:  # whatever another version's files lead to: the report goes on
            found.notes.append(f"pages of {title} cannot be drawn again: {reason(error)}")
    if limits.images > 0:
        _fill(drawers, found, limits)
    shown = len(found.images)
    every = sum(
        len(ids)
        for ids in (sample_ids(comparison.of_group(g)) for g in range(len(comparison.groups)))
    )
    found.notes.append(
        f"pages are shown for {shown} of {every} samples, at most {limits.pages} a sample (limit: "
        f"{limits.images} images, {limits.image_bytes >> 20} MiB, {limits.seconds:g} s of drawing; "
        "samples that changed most come first)"
    )
    return found


def _fill(drawers: Sequence[Drawer], found: Redrawn, limits: Limits) -> None:
    """Draw sample after sample until the next one would pass a limit."""
    queues = [(drawer, iter(drawer.order)) for drawer in drawers]
    count = size_bytes = 0
    start = time.process_time()
    while queues and time.process_time() - start < limits.seconds:
        drawer, queue = queues.pop(0)
        sample_id = next(queue, None)
        if sample_id is None:
            continue
        try:
            images = drawer.draw(sample_id, limits.pages)
        except Exception as error:
            found.notes.append(f"pages of {plain(sample_id)} cannot be drawn: {reason(error)}")
            return
        every = [images.before, *images.after.values()]
        count += sum(map(len, every))
        size_bytes += sum(len(png) for pngs in every for png in pngs)
        if count > limits.images or size_bytes > limits.image_bytes:
            return
        found.images[drawer.group, sample_id] = images
        queues.append((drawer, queue))
