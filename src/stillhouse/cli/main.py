"""`stillhouse`: the entry point; maps every error to its message and exit code."""

from __future__ import annotations

import sys

import typer

from stillhouse.cli import (
    commands,
    doctor,
    erasing,
    exporting,
    recipes,
    reports,
    starting,
    targets,
)
from stillhouse.core.errors import StillhouseError

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130

app = typer.Typer(
    name="stillhouse",
    help="From raw rows and a big teacher to a small student that is measured, gated, exported "
    "and registered: one recipe, one command.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
commands.add_to(app)
reports.add_to(app)
exporting.add_to(app)
erasing.add_to(app)
starting.add_to(app)
doctor.add_to(app)
app.add_typer(recipes.app, name="recipe")
app.add_typer(targets.app, name="targets")


def main() -> None:
    """Run the command line.

    Exits with 0 done, 1 failed, 2 the recipe or the call is wrong, 3 the gate said no, 130 Ctrl-C.
    """
    try:
        code = app(prog_name="stillhouse", standalone_mode=False)
    except StillhouseError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(error.exit_code)
    except OSError as error:
        # A folder that is a file, no permission, a broken disk: the system's words name it.
        sys.stderr.write(f"error: {error.strerror or error}: {error.filename or ''}\n")
        sys.exit(EXIT_FAILED)
    except (KeyboardInterrupt, typer.Abort):
        sys.stderr.write("interrupted\n")
        sys.exit(EXIT_INTERRUPTED)
    except Exception as error:
        # The argument parser is typer's private copy of click; its errors know how to show
        # themselves, and nothing else does.
        show = getattr(error, "show", None)
        if show is None:
            raise
        show()
        sys.exit(EXIT_USAGE)
    # The parser turns Ctrl-C into a code of its own and says nothing.
    if code == EXIT_INTERRUPTED:
        sys.stderr.write("interrupted\n")
    sys.exit(code if isinstance(code, int) else 0)


if __name__ == "__main__":
    main()
