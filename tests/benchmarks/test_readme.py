"""Every number of what the README says was found, computed anew from the records."""

import re
from functools import cache
from pathlib import Path
from statistics import fmean

import pytest

import baselines
from benchmarks.plan.specs import get_spec
from benchmarks.records.record import RecordStore

ROOT = Path(__file__).parents[2]
# What a sentence names without measuring it.
NAMES = r"\bH100\b|\bbfloat16\b|\bx4\b|64 of 1,024 keys|\b16 keys\b|noise of 25\b|\bUrban100\b"


@cache
def read_results(kind, name, profile="cpu"):
    """The results of a table or study by the facts of their cells."""
    spec = get_spec(name, kind)
    cells = spec.profiles[profile].cells()
    store = RecordStore(ROOT / "results/records" / f"{spec.file_stem(profile)}.jsonl")
    return {c: r.result for c, r in store.newest(cells).items() if r.status == "ok"}


def find(results, **facts):
    """The one result whose cell has these facts."""
    (found,) = (
        result
        for cell, result in results.items()
        if all(getattr(cell, name, None) == value for name, value in facts.items())
    )
    return found


def psnr(results, **facts):
    return find(results, kind="quality", **facts).scores["psnr"].value


def compare_attention(profile, **facts):
    """Time of attention to 64 of 1,024 keys of photographs over that to all."""
    results = read_results("study", "attention-crossover", profile)
    place = {"n": 1024, "k": 64, "graph": "photo", "baseline": "dense"}
    return [find(results, **place, **facts).ratio.value]


def lead(model):
    """What a KGT scores more than its SwinIR, by set."""
    results = read_results("study", "small")
    return [
        result.scores["psnr"].value
        - psnr(results, task=c.task, dataset=c.dataset, model=model.replace("kgt-", "swinir-"))
        for c, result in results.items()
        if c.model == model
    ]


def ends(values):
    return [min(values), max(values)]


def lead_of_peer():
    results = read_results("table", "8")
    scores = [
        {m: psnr(results, task="sr-x4", dataset=s, model=m) for m in ("smfanet-x4", "kgt-tiny-x4")}
        for s in ("Set5", "Set14", "BSD100")
    ]
    return [score["smfanet-x4"] - score["kgt-tiny-x4"] for score in scores]


def mean_by_k(training, k):
    """Mean PSNR over the trainings with random k, or with every key, used with k keys."""
    found = [
        result.scores["psnr"].value
        for cell, result in read_results("study", "method").items()
        if cell.recipe == f"study-denoise-k-{training}" and getattr(cell, "k", None) == k
    ]
    assert len(found) == 2
    return fmean(found)


def spread_of_seeds():
    scores = [
        result.scores["psnr"].value
        for cell, result in read_results("study", "judge").items()
        if cell.kind == "quality"
    ]
    assert len(scores) == 12
    return [max(scores) - min(scores)]


def lead_by_keys(ours, theirs, *datasets):
    """What the networks with some fields score more than those with others, means over seeds."""

    def mean(fields, dataset):
        model = f"kgt-tiny-denoise-color:level_windows=[32,16]{fields}"
        return fmean(
            result.scores["psnr"].value
            for cell, result in read_results("study", "keys").items()
            if cell.kind == "quality" and (cell.model, cell.dataset) == (model, dataset)
        )

    return sorted(mean(ours, dataset) - mean(theirs, dataset) for dataset in datasets)


FOUND = {
    r"takes ([\d.]+) of the time": lambda: compare_attention("cpu", backend="native"),
    r"it takes ([\d.]+) times as long": lambda: compare_attention("gpu", backend="triton"),
    r"score the same within ([\d.]+) dB": lambda: [max(map(abs, lead("kgt-tiny-x4")))],
    r"in denoising KGT scores up to ([\d.]+) dB": lambda: [max(lead("kgt-tiny-denoise-color"))],
    r"for JPEG files up to ([\d.]+) dB": lambda: [max(lead("kgt-tiny-jpeg-color"))],
    r"for mosaics ([\d.]+) to ([\d.]+) dB": lambda: ends(lead("kgt-tiny-demosaic")),
    r"in deblurring ([\d.]+) dB,": lambda: lead("kgt-tiny-deblur"),
    r"against snow ([\d.]+) dB": lambda: lead("kgt-tiny-weather")[1:2],
    r"against rain ([\d.]+) dB less": lambda: [-lead("kgt-tiny-weather")[0]],
    r"or ([\d.]+) dB where both see a blind": lambda: lead("deconvolved-kgt-tiny-deblur"),
    r"SMFANet with ([\d.]+) million": lambda: [
        sum(p.numel() for p in baselines.create_model("smfanet-x4").parameters()) / 1e6
    ],
    r"scores ([\d.]+) to ([\d.]+) dB more in super-resolution": lambda: ends(lead_of_peer()),
    r"\(16 keys cost ([\d.]+) dB instead of ([\d.]+) dB\)": lambda: [
        mean_by_k(training, 256) - mean_by_k(training, 16) for training in ("random", "fixed")
    ],
    r"scores ([\d.]+) dB more than one trained with random k": lambda: [
        mean_by_k("fixed", 256) - mean_by_k("random", 256)
    ],
    r"product restore ([\d.]+) to ([\d.]+) dB better than random keys on two sets": lambda: (
        lead_by_keys("", ":similarity=random", "McMaster", "Urban100")
    ),
    r"they restore ([\d.]+) dB better than every key on Urban100": lambda: lead_by_keys(
        ":similarity=cosine", ":k=1024", "Urban100"
    ),
    r"seeds alone make ([\d.]+) dB": spread_of_seeds,
}


def read_section():
    """What was found, without what the links lead to."""
    text = (ROOT / "README.md").read_text()
    section = text.partition("## What was found")[2].partition("\n## ")[0]
    return " ".join(re.sub(r"\]\([^)]*\)", "]", section).replace("[", "").replace("]", "").split())


@pytest.mark.parametrize("sentence", FOUND)
def test_a_number_of_the_readme_is_that_of_the_records(sentence):
    (said,) = re.finditer(sentence, read_section())
    for text, value in zip(said.groups(), FOUND[sentence](), strict=True):
        digits = len(text.partition(".")[2])
        assert f"{value:.{digits}f}" == text


def test_no_number_of_the_readme_is_left_out():
    section = read_section()
    for sentence in FOUND:
        section = re.sub(sentence, "", section)
    assert not re.findall(r"\S*\d\S*", re.sub(NAMES, "", section))
