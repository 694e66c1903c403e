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
        output: Folder of run directories and logs.
        overrides: Further KEY, VALUE, ...
    """

    config: str
    seed: int
    output: Path
    overrides: tuple[str, ...] = ()

    @property
    def log(self) -> Path:
        """Its log."""
        return self.output / f"{self.config.replace(',', '_')}-seed{self.seed}.log"

    @property
    def command(self) -> list[str]:
        """Arguments of `longtail`."""
        return ["train", self.config, *self._settings]

    def check(self) -> Recipe | CfgNode:
        """Return its recipe or config.

        Raises:
            UserError: It is invalid with these overrides.
        """
        load = load_recipe if is_recipe(self.config) else load_config
        return load(self.config, self._settings)

    def folder(self) -> Path:
        """Return its newest run directory, or the folder of the recipe, which exist once it was trained."""
        checked = self.check()
        return checked.folder if isinstance(checked, Recipe) else next(runs_of(checked)).path

    @property
    def _settings(self) -> list[str]:
        return ["OUTPUT_DIR", str(self.output / f"seed{self.seed}"), "RAND_SEED", str(self.seed), *self.overrides]


def missing_trainings(
    published: Published,
    records: Sequence[Record],
    *,
    data: str,
    seeds: Sequence[int],
    rows: Sequence[str] = (),
    images: str = "",
) -> Iterator[tuple[str, int]]:
    """Yield (composition, seed) of the rows of a data set without a finished record, seed by seed.

    Args:
        published: Rows of the page.
        records: Records.
        data: Short name of the data set; of the column, or with `_json`.
        seeds: Seeds.
        rows: Configs of rows; empty: all that the data set has, in the order of the page.
        images: How the images differ from the data set, see `Record`.

    Raises:
        UserError: The page has no such data set or row.
    """
    entries = [entry for entry in published.entries() if entry[1].data == data.removesuffix("_json")]
    if not entries:
        known = dict.fromkeys(column.data for _, column, _ in published.entries())
        raise UserError(f"docs/results.md has no column of {data}; available: {', '.join(known)}")
    done: dict[str, list[set[int]]] = {}  # config -> seeds with a record, for each of its rows
    for row, column, config in entries:
        runs = finished_runs(records, row, data=column, config=config)
        done.setdefault(config, []).append({run.seed for run in runs if run.images == images})
    unknown = [row for row in rows if row not in done]
    if unknown:
        raise UserError(f"docs/results.md has no row {unknown[0]} of {data}; available: {' '.join(done)}")
    for seed in seeds:
        for config in rows or done:
            if any(seed not in recorded for recorded in done[config]):
                yield f"{data},{config}", seed
