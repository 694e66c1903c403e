"""The report of a verification as text."""

from collections.abc import Callable, Iterator, Sequence

from longtail.data.inspect.verify import KINDS, Report, Split, count_shot_groups, extreme
from longtail.user_files import shown

SHOWN = 10  # errors listed per kind


def as_text(report: Report) -> str:
    """Return a summary of each split, the first errors of each kind, and the number of errors in the last line."""
    return "\n".join([*_splits(report.splits), *_errors(report), "", _total(report)])


def _splits(splits: Sequence[Split]) -> Iterator[str]:
    for split in splits:
        counts = split.counts
        groups = ", ".join(f"{number} {name}" for name, number in count_shot_groups(counts).items() if number)
        imbalance = f", imbalance {max(counts) / min(counts):.4g}" if min(counts) else ""
        yield f"{split.name}: {len(split.entries):,} images in {split.num_classes} classes"
        yield f"  images of a class: {max(counts):,} to {min(counts):,}{imbalance} ({groups})"
        names = [f"{name} " for name in split.class_names] or [""] * len(counts)
        words = [f"{name}{count:,}" for name, count in zip(names, counts, strict=True)]
        yield f"  class counts: {_shorten(words)}"
        if split.sizes:
            sizes = [f"{height}x{width} ({count:,})" for (height, width), count in split.sizes.most_common()]
            yield f"  sizes (height x width): {_shorten(sizes, 5)}"
            if len(split.sizes) > 1:
                yield f"  smallest {_extreme(split, min)}, largest {_extreme(split, max)}"


def _errors(report: Report) -> Iterator[str]:
    for kind, title in KINDS.items():
        findings = [finding for finding in report.findings if finding.kind == kind]
        if not findings:
            continue
        yield ""
        yield f"{title}: {len(findings):,}"
        for finding in findings[:SHOWN]:
            index = f" {finding.index}" if finding.index >= 0 and kind != "class" else ""
            path = f" {finding.path}" if finding.path else ""
            yield shown(f"  {finding.split}{index}:{path} {finding.detail}")
        if len(findings) > SHOWN:
            yield f"  ... and {len(findings) - SHOWN:,} more"


def _total(report: Report) -> str:
    images = sum(len(split.entries) for split in report.splits)
    errors = report.findings
    if not errors:
        return f"no errors in {images:,} images"
    kinds = len({finding.kind for finding in errors})
    return (
        f"{len(errors):,} {'error' if len(errors) == 1 else 'errors'} of {kinds} "
        f"{'kind' if kinds == 1 else 'kinds'} in {images:,} images"
    )


def _extreme(split: Split, choose: Callable[..., tuple[int, int]]) -> str:
    image = extreme(split, choose)
    return shown("{height}x{width} ({index}, {path})".format(**image)) if image else ""


def _shorten(words: Sequence[str], shown: int = 20) -> str:
    """Join words; of more than `shown`, only the first ones and their total number."""
    total = f" ... ({len(words):,} in all)" if len(words) > shown else ""
    return "  ".join(words[:shown]) + total
