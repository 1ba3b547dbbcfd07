import json

import pytest

import baselines
import kgt
from kgt.command import main


@pytest.mark.parametrize("pretrained", [False, True])
def test_all_models_are_listed(pretrained, capsys):
    options = ["--pretrained"] if pretrained else []
    assert main(["list", *options]) == 0
    names = [*kgt.list_models(pretrained), *baselines.list_models(pretrained)]
    assert capsys.readouterr().out.split() == names
    assert main(["list", *options, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == names


def test_a_trained_network_is_described(capsys):
    assert main(["info", "kgt-tiny-x4:k=32", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["task"], found["scale"], found["channels"]) == ("sr", 4, 3)
    assert found["parameters"] == 220_980
    assert found["pretrained"]
    assert found["fields"]["k"] == 32
    network = kgt.create_model("kgt-tiny-x4", pretrained=True)
    assert found["training"] == network.provenance
    assert main(["info", "kgt-tiny-x4"]) == 0
    assert "training recipe: small-sr-x4@" in capsys.readouterr().out


def test_a_classical_method_is_described(capsys):
    assert main(["info", "tv"]) == 0
    printed = capsys.readouterr().out
    assert "parameters: 0" in printed
    assert "fields sigma: None" in printed


def test_an_unknown_model_names_the_nearest(capsys):
    assert main(["info", "kgt-tiny-x5"]) == 2
    assert "valid: kgt-tiny-x4, " in capsys.readouterr().err


def test_the_version_is_that_of_the_package(capsys):
    with pytest.raises(SystemExit) as end:
        main(["--version"])
    assert end.value.code == 0
    assert capsys.readouterr().out == f"kgt {kgt.__version__}\n"
