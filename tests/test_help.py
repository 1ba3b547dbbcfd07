"""Every help says of every argument what it is, and what holds where it is left out."""

import argparse
from importlib import import_module

import pytest

COMMANDS = (
    *("kgt.command", "benchmarks.docs.__main__", "benchmarks.doctor", "benchmarks.evaluate"),
    *("benchmarks.measure.__main__", "benchmarks.regress", "benchmarks.report.__main__"),
    "benchmarks.reproduce",
    *("benchmarks.sweep.__main__", "benchmarks.train"),
)


def list_parsers(parser):
    """A parser and those of its subcommands."""
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                yield from list_parsers(command)


@pytest.fixture
def find_parsers(monkeypatch):
    """Returns a function that lists the parsers of a module's command line."""

    def find(module):
        caught = []

        def catch(parser, *_):
            caught.append(parser)
            parser.exit()

        monkeypatch.setattr(argparse.ArgumentParser, "parse_args", catch)
        with pytest.raises(SystemExit):
            import_module(module).main([])
        return [*list_parsers(*caught)]

    return find


@pytest.mark.parametrize("module", COMMANDS)
def test_every_argument_has_a_help_and_every_default_is_in_it(module, find_parsers):
    for parser in find_parsers(module):
        text = " ".join(parser.format_help().split())
        for action in parser._actions:
            if isinstance(action, argparse._SubParsersAction):
                continue
            assert action.help, f"{parser.prog}: {action.dest}"
            unnamed = isinstance(action.default, bool | list | None)
            if not unnamed and action.default != argparse.SUPPRESS:
                assert f"(default: {action.default})" in text, f"{parser.prog}: {action.dest}"


def test_a_help_names_defaults_and_units(find_parsers):
    measure = find_parsers("benchmarks.measure.__main__")
    attention = next(parser for parser in measure if parser.prog.endswith("attention"))
    text = " ".join(attention.format_help().split())
    assert "--tokens TOKENS N, the tokens of a window, a comma list (default: 1024)" in text
    assert "--budget BUDGET seconds of rounds per comparison (default: 10.0)" in text
    assert "(default: False)" not in text
    assert "(default: None)" not in text
