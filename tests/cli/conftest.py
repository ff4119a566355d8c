"""The command line, called in this process."""

import sys

import pytest

from stillhouse.cli.main import main


@pytest.fixture
def called(monkeypatch, capsys):
    """Call the command line in this process; gives code, standard output, standard error."""

    def call(*words):
        monkeypatch.setattr(sys, "argv", ["stillhouse", *map(str, words)])
        with pytest.raises(SystemExit) as end:
            main()
        out, err = capsys.readouterr()
        return end.value.code, out, err

    return call
