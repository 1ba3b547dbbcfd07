"""What the records say in a few sentences, chosen and worded by rules.

Each rule looks for its records, and gives a finding or, where they are missing, none. The verdict
picks the words of a sentence; numbers come from the records alone.
"""

from __future__ import annotations

from benchmarks.report.site.findings.finding import Finding
from benchmarks.report.site.findings.method import (
    find_controls,
    find_fewer_keys,
    find_linear_growth,
    find_random_k,
    find_selection,
    find_similarity,
)
from benchmarks.report.site.findings.quality import find_against_peer, find_against_swinir
from benchmarks.report.site.findings.speed import (
    find_network_time,
    find_speed_on_cpu,
    find_speed_on_gpu,
)
from benchmarks.report.site.library import Library

# What a reader asks first comes first.
RULES = (
    find_against_swinir,
    find_speed_on_cpu,
    find_speed_on_gpu,
    find_network_time,
    find_controls,
    find_selection,
    find_similarity,
    find_against_peer,
    find_fewer_keys,
    find_random_k,
    find_linear_growth,
)
SHOWN = 6


def list_findings(library: Library) -> list[Finding]:
    """All findings that the records give, the first ones first."""
    return [finding for rule in RULES if (finding := rule(library))]
