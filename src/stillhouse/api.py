"""The Python twin of the command line: the same words, typed results, no logic of its own.

import stillhouse

stillhouse.check("quickstart")
status = stillhouse.run("quickstart", overrides=["train.seed=1"], name="seed-1")
stillhouse.gate("seed-1", candidate="twin").passed
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from stillhouse.core.errors import UsageError
from stillhouse.core.protocols import Progress, no_progress
from stillhouse.core.rows import Example
from stillhouse.evals.gates import Verdict
from stillhouse.recipes.built_in import library_names, profiles_of
from stillhouse.recipes.first_recipe import Wishes
from stillhouse.recipes.load import Loaded
from stillhouse.recipes.schema import Recipe
from stillhouse.report.comparison import Leaderboard, RunComparison
from stillhouse.report.content import RunReport
from stillhouse.runner.chat_files import USUAL, write_run_chat
from stillhouse.runner.check import check as check_costs
from stillhouse.runner.check import check_recipe
from stillhouse.runner.check_report import CheckReport
from stillhouse.runner.comparing import compare_runs
from stillhouse.runner.comparing import leaderboard as rank_runs
from stillhouse.runner.doctor import Examination
from stillhouse.runner.erasing import ErasureReport
from stillhouse.runner.erasing import erase as erase_rows
from stillhouse.runner.events import OnEvent, ignore
from stillhouse.runner.examining import DoctorCall, examine_all
from stillhouse.runner.explaining import Explanation, explain_row
from stillhouse.runner.exporting import ExportCall as ExportCall
from stillhouse.runner.exporting import Shipment, export_run
from stillhouse.runner.forecast import Forecast
from stillhouse.runner.forecast import forecast as forecast_sizes
from stillhouse.runner.imports import ImportCall as ImportCall
from stillhouse.runner.imports import run_import
from stillhouse.runner.inspect import RunStatus, judge, read_status
from stillhouse.runner.ledger import LedgerView, read_ledger
from stillhouse.runner.opening import (
    DEFAULT_ROOT,
    named_place,
    open_place,
    open_recipe,
    root_place,
)
from stillhouse.runner.pages import gather_report, write_run_report
from stillhouse.runner.preview import find_mask
from stillhouse.runner.resolve import resolve
from stillhouse.runner.run import Place, execute
from stillhouse.runner.starting import DEFAULT_TARGET, write_guessed
from stillhouse.runner.starting import InitCall as InitCall
from stillhouse.runner.stores import (
    StoredExample,
    StoreView,
    VerifiedStore,
    find_store,
    verify_store,
    view_example,
    view_store,
)
from stillhouse.store.erasures import SOURCE, SUBJECT
from stillhouse.targets.importing.store import ImportedStore
from stillhouse.tokens.show import MaskView

_NOTHING_SAID = InitCall()


@dataclass(frozen=True, slots=True)
class Call:
    """How a recipe is called, beside its name.

    Attributes:
        overrides: `a.b=c` texts, as after `--set`.
        runs: the folder that holds all runs.
        name: of the run; the recipe's if empty.
        smoke: run the whole chain on that many rows a part; 0 for the recipe as it is.
        profile: of a built-in recipe, `full` or `tiny`; the full one if empty.
    """

    overrides: Sequence[str] = ()
    runs: str = DEFAULT_ROOT
    name: str = ""
    smoke: int = 0
    profile: str = ""


def run(
    recipe: str, call: Call = Call(), *, from_stage: str = "", on_event: OnEvent = ignore
) -> RunStatus:
    """Run a recipe; what is already done is reused.

    Args:
        recipe: a file, or a built-in recipe's name.
        call: overrides and place.
        from_stage: make this stage, or one instance such as `train@twin`, and all that depends on
            it again; without it a run that was interrupted goes on.
        on_event: is told what happens.

    Returns:
        The status of the finished run, with every stage's summary.

    Raises:
        StillhouseError: see `stillhouse.core.errors`; `GateRefusedError` when the gate says no.
    """
    loaded, effective, place = _open(recipe, call)
    resolved = resolve(loaded, effective, place.erasures, with_weights=True)
    if not place.holds_all(resolved.plan):
        check_costs(resolved, place).refuse_what_stands_in_the_way()
    execute(resolved, place, from_stage=from_stage, on_event=on_event)
    return read_status(place)


def check(
    recipe: str, call: Call = Call(), *, rows: int = 0, probe: bool = False, machine: str = ""
) -> CheckReport:
    """What a run would do and cost; nothing is run.

    Args:
        recipe: a file, or a built-in recipe's name.
        call: overrides and place.
        rows: assume that many where the recipe's file is not there yet; 0 reads it.
        probe: measure this machine for ten seconds, once a runs folder, to tell hours better.
        machine: another one to plan for, in GB, such as `gpu=80,memory=256,disk=2000`.

    Returns:
        Every instance with its price, and what this machine has free.

    Raises:
        UsageError: the recipe, its rows or its models cannot be used.
    """
    loaded, effective, place = _open(recipe, call)
    return check_recipe(loaded, effective, place, num_rows=rows, is_probing=probe, machine=machine)


def doctor(recipe: str = "", call: Call = Call(), *, server: str = "") -> Examination:
    """What this machine has, and what a recipe or a server lacks; `is_fit` says whether it may run.

    Args:
        recipe: a file, or a built-in recipe's name; empty for the machine alone.
        call: overrides, profile and place.
        server: the address of a model server to ask; empty for none.

    Returns:
        The findings.

    Raises:
        UsageError: the recipe cannot be loaded.
    """
    told = DoctorCall(recipe, tuple(call.overrides), call.profile, server, call.runs)
    return examine_all(told)


def init(rows: str, target: str = DEFAULT_TARGET, said: InitCall = _NOTHING_SAID) -> Wishes:
    """Write a recipe for somebody's rows, with a guess wherever nothing is said.

    Args:
        rows: their file.
        target: the recipe to write; its JSON Schema for editors comes to lie beside it.
        said: what is not to be guessed.

    Returns:
        What the recipe was made of.

    Raises:
        UsageError: the rows cannot be read, the target is there, or a guess is needed and there is
            none.
    """
    return write_guessed(rows, target, said)


def status(run_name: str, runs: str = DEFAULT_ROOT) -> RunStatus:
    """How far a run is."""
    return read_status(named_place(runs, run_name))


def gate(run_name: str, candidate: str = "student", runs: str = DEFAULT_ROOT) -> Verdict:
    """The run's gate asked about a candidate: `student`, `twin` or `teacher`."""
    return judge(named_place(runs, run_name), candidate)


def ship(
    run_name: str,
    call: ExportCall,
    runs: str = DEFAULT_ROOT,
    *,
    on_status: Callable[[str], None] = lambda _: None,
) -> Shipment:
    """Bring the student of a run to where it is used: `stillhouse export RUN --to`.

    Args:
        run_name: of a run whose gate passed its student.
        call: `ExportCall("ollama")`, `ExportCall("hub:OWNER/NAME")` or `ExportCall("./folder")`.
        runs: the folder that holds all runs.
        on_status: is told what happens.

    Returns:
        What was made there.

    Raises:
        GateRefusedError: no gate has passed it.
        StillhouseError: its bytes are not those that were gated, a licence does not let it go, or
            whoever should get it cannot be reached.
    """
    return export_run(named_place(runs, run_name), call, on_status)


def ledger(run_name: str = "", runs: str = DEFAULT_ROOT) -> LedgerView:
    """What was spent on models behind an API by a run, or by all runs."""
    return read_ledger(named_place(runs, run_name) if run_name else root_place(runs))


def write_report(run_name: str, runs: str = DEFAULT_ROOT) -> Path:
    """Write a run's report anew; gives the page's path."""
    place = named_place(runs, run_name)
    return write_run_report(place.folder, place.store)


def read_report(run_name: str, runs: str = DEFAULT_ROOT) -> RunReport:
    """Everything that a run's page shows, as data; nothing is written."""
    place = named_place(runs, run_name)
    return gather_report(place.folder, place.store)


def compare(
    run_names: Sequence[str], candidate: str = "student", runs: str = DEFAULT_ROOT
) -> RunComparison:
    """Runs that were measured on the same holdout, side by side.

    Args:
        run_names: at least two; differences are to the first.
        candidate: whose numbers are compared.
        runs: the folder that holds all runs.

    Returns:
        Metrics with paired differences, and the lines of the recipes that differ.

    Raises:
        InputError: a run is not measured, or their holdouts differ.
    """
    return compare_runs([named_place(runs, name) for name in run_names], candidate)


def leaderboard(
    metric: str = "", candidate: str = "student", runs: str = DEFAULT_ROOT
) -> Leaderboard:
    """All runs by a metric, the best first; the first metric that any run has if empty."""
    return rank_runs(root_place(runs), metric, candidate)


def explain(row_id: str, run_name: str = "", runs: str = DEFAULT_ROOT) -> Explanation:
    """What became of a row: steps, part, the teacher's answers, every prediction with scores.

    Args:
        row_id: of a row or an example, or its first letters.
        run_name: the run to look into; the last one that has the row if empty.
        runs: the folder that holds all runs.

    Returns:
        Its history.

    Raises:
        InputError: no run has it, or several rows begin so.
    """
    root = named_place(runs, run_name).root if run_name else root_place(runs).root
    return explain_row(Place(root, ""), row_id, run_name)


def erase(
    *, source: str = "", subject: str = "", yes: bool = False, runs: str = DEFAULT_ROOT
) -> ErasureReport:
    """Remove the rows of a source or a person, and keep them out of every later run.

    Args:
        source: a file's name, a provider, or what `collect.rights.source_field` holds.
        subject: the id of a person or device, as it stands in the rows or before it was hashed.
        yes: remove them; without it they are only listed.
        runs: the folder that holds all runs.

    Returns:
        What holds them, and what has learned from them.

    Raises:
        UsageError: not one of both is named, or nothing was found.
    """
    if bool(source) == bool(subject):
        raise UsageError("name one of source and subject")
    kind, name = (SOURCE, source) if source else (SUBJECT, subject)
    return erase_rows(root_place(runs), kind, name, is_confirmed=yes)


def write_chat(
    run_name: str,
    folder: str,
    files: Mapping[str, Sequence[str]] = USUAL,
    runs: str = DEFAULT_ROOT,
) -> dict[str, int]:
    """Write a run's examples as chat files.

    Args:
        run_name: of a run whose examples are made.
        folder: for the files.
        files: name without suffix to the parts that go into it.
        runs: the folder that holds all runs.

    Returns:
        Name of each file to its lines.
    """
    return write_run_chat(named_place(runs, run_name), Path(folder), files)


def mask(
    recipe: str,
    overrides: Sequence[str] = (),
    *,
    part: str = "",
    example: int = 0,
    profile: str = "",
) -> tuple[Example, dict[str, MaskView]]:
    """One example token by token, with what is trained on, as student and teacher read it."""
    loaded, effective = open_recipe(recipe, overrides, profile=profile)
    return find_mask(resolve(loaded, effective), part, example)


def list_recipes() -> list[str]:
    """The names of the built-in recipes."""
    return library_names()


def list_profiles(recipe: str) -> tuple[str, ...]:
    """The profiles of a built-in recipe: `full`, and `tiny` where it has one."""
    return profiles_of(recipe)


def show_targets(place: str, runs: str = DEFAULT_ROOT) -> StoreView:
    """What a store of targets holds.

    Args:
        place: a run's name or folder, or the folder of a store or of what `label` made.
        runs: the folder that holds all runs.

    Returns:
        Its header and sizes.

    Raises:
        InputError: there are no stored targets.
        ArtifactError: the store was not finished, or is damaged.
    """
    return view_store(find_store(place, runs))


def example_targets(
    place: str, example_id: str = "", *, tokens: int = 0, runs: str = DEFAULT_ROOT
) -> StoredExample:
    """What the teacher said about one example.

    Args:
        place: as of `show_targets`.
        example_id: the example; empty for the first one.
        tokens: look at that many of its answer tokens; 0 for all.
        runs: the folder that holds all runs.

    Returns:
        The kept entries, the tail and the draws of each token.

    Raises:
        InputError: there are no stored targets, or no such example.
        ArtifactError: the store is damaged.
    """
    return view_example(find_store(place, runs), example_id, tokens)


def verify_targets(
    place: str, runs: str = DEFAULT_ROOT, *, progress: Progress = no_progress
) -> VerifiedStore:
    """Read a whole store and compare every checksum; raises `ArtifactError` where one differs."""
    return verify_store(find_store(place, runs), progress)


def forecast_targets(recipe: str, call: Call = Call()) -> Forecast:
    """How large a recipe's targets will be, in each codec; nothing is scored."""
    loaded, effective, place = _open(recipe, call)
    return forecast_sizes(resolve(loaded, effective, place.erasures), place)


def import_targets(call: ImportCall, *, progress: Progress = no_progress) -> ImportedStore:
    """Bring log-probabilities that DistillKit or axolotl stored into a store of targets."""
    return run_import(call, progress)


def _open(recipe: str, call: Call) -> tuple[Loaded, Recipe, Place]:
    loaded, effective = open_recipe(recipe, call.overrides, smoke=call.smoke, profile=call.profile)
    return loaded, effective, open_place(effective, call.runs, call.name, smoke=call.smoke)
