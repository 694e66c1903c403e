"""The verdict on a data set, as text."""

from collections.abc import Callable, Iterator, Sequence

from longtail.data.inspect.verify import KINDS, Split, Verdict, extreme, shots

SHOWN = 10  # faults of each kind


def as_text(verdict: Verdict) -> str:
    """Return the report: each split, then the first faults of each kind, then one line that sums up."""
    return "\n".join([*_splits(verdict.splits), *_faults(verdict), "", _sum(verdict)])


def _splits(splits: Sequence[Split]) -> Iterator[str]:
    for split in splits:
        counts = split.counts
        groups = ", ".join(f"{number} {name}" for name, number in shots(counts).items() if number)
        imbalance = f", imbalance {max(counts) / min(counts):.4g}" if min(counts) else ""
        yield f"{split.name}: {len(split.entries):,} images in {split.num_classes} classes"
        yield f"  images of a class: {max(counts):,} to {min(counts):,}{imbalance} ({groups})"
        yield f"  class counts: {_shortened([f'{count:,}' for count in counts])}"
        if split.sizes:
            common = [f"{height}x{width} ({split.sizes[height, width]:,})" for height, width in _common(split)]
            yield f"  sizes (height x width): {_shortened(common, 5)}"
            if len(split.sizes) > 1:
                yield f"  smallest {_image(split, min)}, largest {_image(split, max)}"


def _faults(verdict: Verdict) -> Iterator[str]:
    for kind, words in KINDS.items():
        found = [finding for finding in verdict.findings if finding.kind == kind]
        if not found:
            continue
        yield ""
        yield f"{words}: {len(found):,}"
        for finding in found[:SHOWN]:
            where = f" {finding.index}" if finding.index >= 0 and kind != "class" else ""
            yield f"  {finding.split}{where}:{' ' + finding.path if finding.path else ''} {finding.detail}"
        if len(found) > SHOWN:
            yield f"  ... and {len(found) - SHOWN:,} more"


def _sum(verdict: Verdict) -> str:
    images = sum(len(split.entries) for split in verdict.splits)
    faults = verdict.findings
    if not faults:
        return f"no faults in {images:,} images"
    kinds = len({finding.kind for finding in faults})
    return (
        f"{len(faults):,} {'fault' if len(faults) == 1 else 'faults'} of {kinds} "
        f"{'kind' if kinds == 1 else 'kinds'} in {images:,} images"
    )


def _image(split: Split, choose: Callable[..., tuple[int, int]]) -> str:
    found = extreme(split, choose)
    return "{height}x{width} ({index}, {path})".format(**found) if found else ""


def _common(split: Split) -> list[tuple[int, int]]:
    return [size for size, _ in split.sizes.most_common()]


def _shortened(words: Sequence[str], shown: int = 20) -> str:
    """Join words; of many, only the first ones and how many there are."""
    more = f" ... ({len(words):,} in all)" if len(words) > shown else ""
    return "  ".join(words[:shown]) + more
