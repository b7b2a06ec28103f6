"""The cases of `ganzoo bench`, recorded by pytest-benchmark."""

from __future__ import annotations

import pytest
from ganzoo_benchmarks.cases import CASES, race
from ganzoo_benchmarks.peers import NATIVE
from pytest_benchmark.fixture import BenchmarkFixture

from ganzoo.ops import cpu_library

ROUNDS = 9
REASON = cpu_library.unavailable_reason()
pytestmark = pytest.mark.skipif(REASON is not None, reason=f"no native kernels: {REASON}")


@pytest.mark.parametrize("name", CASES)
def test_against_peers(benchmark: BenchmarkFixture, name: str) -> None:
    result = race(CASES[name], ROUNDS)
    benchmark.pedantic(CASES[name].builders()[NATIVE](), rounds=3, warmup_rounds=1)
    for contestant, seconds in result.seconds.items():
        benchmark.extra_info[contestant] = f"{seconds * 1e3:.4g} ms, {result.rate(contestant) / 1e9:.0f} GF/s"
        if contestant != NATIVE:
            benchmark.extra_info[f"against {contestant}"] = round(result.ratio(contestant), 2)
    benchmark.extra_info["share of the peak"] = round(result.rate(NATIVE) / result.peak, 2)
    benchmark.extra_info["peak"] = f"{result.peak / 1e9:.0f} GF/s, {cpu_library.instruction_set()}"
    benchmark.extra_info["turns"] = (
        f"{result.turns.counted} of {result.turns.total} count, {result.turns.disturbed} disturbed"
    )
    benchmark.extra_info |= {f"without {peer}": reason for peer, reason in result.left_out.items()}
    print(f"\n{name}: {benchmark.extra_info}")
