"""The trainings that the results page lacks."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from yacs.config import CfgNode

from longtail.config import is_recipe, load_config
from longtail.errors import UserError
from longtail.runs.directory import runs_of
from longtail.stages.recipe_file import Recipe, load_recipe
from tools.results_page.page import finished_runs
from tools.results_page.published import Published
from tools.results_page.records import Record


@dataclass(frozen=True)
class Training:
    """A row of the results page with a seed.

    Attributes:
        config: Composition of data and method or recipe.
        seed: RAND_SEED.
    """

    config: str
    seed: int

    @property
    def name(self) -> str:
        """Name of its log."""
        return f"{self.config.replace(',', '_')}-seed{self.seed}"

    def command(self, output: Path, overrides: Sequence[str]) -> list[str]:
        """Return the arguments of `longtail` for another folder and further KEY, VALUE, ..."""
        return ["train", self.config, *self._settings(output), *overrides]

    def folder(self, output: Path, overrides: Sequence[str]) -> Path:
        """Return its newest run directory, or the folder of the recipe, which exist once it was trained."""
        checked = self.check(output, overrides)
        return checked.folder if isinstance(checked, Recipe) else next(runs_of(checked)).path

    def check(self, output: Path, overrides: Sequence[str]) -> Recipe | CfgNode:
        """Return its recipe or config.

        Raises:
            UserError: It is invalid with these settings.
        """
        settings = [*self._settings(output), *overrides]
        return load_recipe(self.config, settings) if is_recipe(self.config) else load_config(self.config, settings)

    def _settings(self, output: Path) -> list[str]:
        return ["OUTPUT_DIR", str(output / f"seed{self.seed}"), "RAND_SEED", str(self.seed)]


def missing_trainings(
    published: Published,
    records: Sequence[Record],
    *,
    data: str,
    seeds: Sequence[int],
    rows: Sequence[str] = (),
    images: str = "",
) -> Iterator[Training]:
    """Yield the trainings of a data set without a finished record, seed by seed in the order of the page.

    Args:
        published: Rows of the page.
        records: Records.
        data: Short name of the data set; of the column, or with `_json`.
        seeds: Seeds.
        rows: Configs of rows; empty: all that the data set has.
        images: How the images differ from the data set, see `Record`.

    Raises:
        UserError: The page has no such data set or row.
    """
    entries = [entry for entry in published.entries() if entry[1].data == data.removesuffix("_json")]
    if not entries:
        known = dict.fromkeys(column.data for _, column, _ in published.entries())
        raise UserError(f"docs/results.md has no column of {data}; available: {', '.join(known)}")
    listed = dict.fromkeys(config for _, _, config in entries)
    unknown = [row for row in rows if row not in listed]
    if unknown:
        raise UserError(f"docs/results.md has no row {unknown[0]} of {data}; available: {' '.join(listed)}")
    for seed in seeds:
        for wanted in rows or listed:
            found = (
                finished_runs(records, row, data=column, config=wanted)
                for row, column, config in entries
                if config == wanted
            )
            if not all(any((run.seed, run.images) == (seed, images) for run in runs) for runs in found):
                yield Training(f"{data},{wanted}", seed)
