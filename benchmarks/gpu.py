"""`make gpu`: build, test and measure on a machine with a GPU, a torch for it and the CUDA toolkit, without a network.

Writes a dated file under benchmarks/results after every stage, so that a later failure loses nothing. Each stage is a
separate process with a share of the time.
"""

from __future__ import annotations

import argparse
import datetime
import importlib.util
import json
import os
import platform
import re
import signal
import statistics
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

NEEDED = (
    "click filelock fsspec hypothesis jinja2 numpy PIL platformdirs pooch pytest pytest_benchmark rich safetensors "
    "setuptools sklearn torch"
)
HERE = Path(__file__).resolve().parents[1]


class Results:
    """The Markdown file with the results, written section by section."""

    def __init__(self, folder: Path, device: str):
        name = re.sub(r"[^a-z0-9]+", "-", device.lower()).strip("-")
        self.lock = threading.Lock()
        self.path = folder / f"{datetime.date.today().isoformat()}-{name}.md"
        self.text = f"# {device}, {datetime.datetime.now(datetime.timezone.utc):%Y-%m-%d %H:%M} UTC\n"

    def add(self, title: str, lines: list[str]) -> None:
        with self.lock:  # stages may run at once
            self.text += "\n".join(["", f"## {title}", "", *lines, ""])
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.write_text(self.text)
            print(f"== {title}", *lines, sep="\n", flush=True)


TESTS = [
    "tests/ops/test_cuda.py", "tests/ops/test_cuda_blocks.py", "tests/ops/test_cuda_few_channels.py",
    "tests/training/test_cuda_graph.py", "tests/training/test_cuda_zoo.py", "tests/evaluation/metrics/test_swd.py",
]  # fmt: skip
STAGES = ("tests", "sanitize", "ceilings", "benchmarks", "profile", "train")


def main() -> None:
    """Run all stages, those that others depend on first."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, default=HERE / "benchmarks" / "results")
    parser.add_argument("--seconds", type=float, default=460, help="time limit of all stages")
    parser.add_argument("--stages", default=",".join(STAGES), help=f"of {', '.join(STAGES)}")
    options = parser.parse_args()
    end, stages = time.time() + options.seconds, options.stages.split(",")
    if unknown := set(stages) - set(STAGES):
        parser.error(f"there is no stage {', '.join(sorted(unknown))}; stages are {', '.join(STAGES)}")
    absent = [name for name in NEEDED.split() if importlib.util.find_spec(name) is None]
    if absent:
        sys.exit(f"Missing: {', '.join(absent)}. With a network: pip install --target build/site {' '.join(absent)}")
    import torch

    if not torch.cuda.is_available():
        sys.exit("There is no GPU here, or this torch is not built for it.")
    results = Results(options.results, torch.cuda.get_device_name())
    results.add("Machine", machine())
    passed = stage(results, "Build", [sys.executable, "setup.py", "-q", "build_ext", "--inplace", "egg_info"], 150)
    built = kernels()
    results.add("Kernels", built)
    if any(line.startswith("none") for line in built):
        sys.exit("There are no CUDA kernels: without them there is nothing to test or to measure.")
    with ThreadPoolExecutor() as pool:  # what is not timed runs at once
        waiting = [pool.submit(run_tests, results)] if "tests" in stages else []
        waiting += [pool.submit(check_kernels, results, end - 230)] if "sanitize" in stages else []
        passed &= all(task.result() for task in waiting)
    if "ceilings" in stages:
        results.add("Ceilings", ceilings())
    if "benchmarks" in stages:
        passed &= benchmarks(results, end - 85)
    if "profile" in stages:
        passed &= stage(
            results, "Kernels of a training step", [sys.executable, "-m", "benchmarks.gpu_profile"], 60, lines=60
        )
    if "train" in stages:
        train(results, end - time.time())
    print(f"\n{results.path}")
    sys.exit(0 if passed else 1)


def run_tests(results: Results) -> bool:
    """The tests that need a GPU, several at a time."""
    tests = [sys.executable, "-m", "pytest", "-v", "-p", "no:cacheprovider", "-rfEs", "--tb=short", *TESTS]
    if importlib.util.find_spec("xdist"):
        tests += ["-n", str(min(14, os.cpu_count() or 1))]
    return stage(results, "Tests", tests, 240, {"OMP_NUM_THREADS": "1"})


def machine() -> list[str]:
    """Device, driver and versions."""
    import torch

    p = torch.cuda.get_device_properties(0)
    query = ["nvidia-smi", "--query-gpu=driver_version,clocks.max.sm,power.limit", "--format=csv,noheader"]
    try:
        driver = subprocess.run(query, capture_output=True, text=True, check=True).stdout.strip().splitlines()[0]
    except (OSError, subprocess.CalledProcessError) as why:
        driver = f"unknown ({why})"
    return [
        f"- {p.name}, compute capability {p.major}.{p.minor}, {p.multi_processor_count} multiprocessors, "
        f"{p.total_memory / 2**30:.0f} GiB",
        f"- driver, top clock, power limit: {driver}",
        f"- torch {torch.__version__}, CUDA {torch.version.cuda}, cuDNN {torch.backends.cudnn.version()}, "
        f"python {platform.python_version()}, {os.cpu_count()} processors",
    ]


def kernels() -> list[str]:
    """A description of the kernels that were built, from a new process."""
    code = "from ganzoo.ops import cuda_library, build_config; print(cuda_library.describe());"
    code += "print('sources', build_config.CUDA.digest(build_config.source_folder())[:16])"
    return run([sys.executable, "-c", code], 60)[1].splitlines()


def compiling(*options: str) -> list[str]:
    """`make` with the package's compiler, for this GPU: nvcc may not be on the PATH, or may not find the GPU."""
    import torch

    from ganzoo.ops.build_config import CUDA

    major, minor = torch.cuda.get_device_capability()
    return ["make", *options, f"NVCC={CUDA.tools().command[0]}", f"ARCH=sm_{major}{minor}"]


def ceilings() -> list[str]:
    """The rates that a large copy and large matrix products reach on this GPU, medians of 20."""
    import torch

    def seconds_of(call: object, *args: object, **options: object) -> float:
        times = []
        for attempt in range(23):
            begin, finish = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
            begin.record()
            call(*args, **options)  # type: ignore[operator]
            finish.record()
            finish.synchronize()
            if attempt >= 3:
                times.append(float(begin.elapsed_time(finish)) / 1e3)
        return statistics.median(times)

    from_, to = (torch.randint(0, 255, (1 << 31,), dtype=torch.uint8, device="cuda") for _ in range(2))
    lines = [
        f"- device-to-device copy, read and written: {2 * from_.numel() / seconds_of(to.copy_, from_) / 1e12:.2f} TB/s"
    ]
    del from_, to
    for name, dtype in (("bf16", torch.bfloat16), ("fp16", torch.float16), ("tf32", torch.float32)):
        torch.backends.cuda.matmul.allow_tf32 = name == "tf32"
        a, b = (torch.randn(8192, 8192, device="cuda", dtype=dtype) for _ in range(2))
        out = torch.empty_like(a)
        lines.append(
            f"- {name} product of 8192: {2 * 8192**3 / seconds_of(torch.mm, a, b, out=out) / 1e12:.0f} TFLOP/s"
        )
    torch.cuda.empty_cache()  # the next stages are separate processes
    return lines


def stage(
    results: Results, title: str, words: list[str], seconds: float, environment: dict[str, str] | None = None,
    lines: int = 12,
) -> bool:  # fmt: skip
    """Run a command and add the last `lines` of its output; returns whether it succeeded.

    If it failed, the output gets longer, and names the tests that failed, also if time ran out before pytest did.
    """
    start = time.time()
    code, output = run(words, seconds, environment)
    written = [line for line in output.splitlines() if line.strip()]
    end = written[-lines:] if code == 0 else [line for line in written[:-90] if "FAILED" in line] + written[-90:]
    state = "done" if code == 0 else f"FAILED with {code}"
    results.add(title, [f"{state} in {time.time() - start:.0f} s", "", "```", *end, "```"])
    return code == 0


def benchmarks(results: Results, until: float) -> bool:
    """Run test_ops_cuda.py, training steps first; it leaves out contestants for which there is no time."""
    passed = True
    # shares of the remaining time: the first benchmarks take longest to compile
    shares = {"training_step": 0.3, "inference": 0.3, "a_layer": 0.5}
    shares |= {f"of_the_zoo and {name}": 0.4 for name in ("sngan", "r3gan", "sagan", "stylegan2")}
    for what, share in shares.items():
        file = HERE / "build" / f"{what.replace(' ', '_')}.json"
        file.unlink(missing_ok=True)
        remaining = max(until - time.time(), 20)
        environment = {"GANZOO_BENCHMARK_UNTIL": str(time.time() + share * remaining - 15)}
        words = [sys.executable, "-m", "pytest", "-sq", "-p", "no:cacheprovider", "-p", "no:logging"]
        words += ["--benchmark-only", "benchmarks/test_ops_cuda.py", "-k", what, f"--benchmark-json={file}"]
        # a contestant that is being compiled may finish, if there is time for the next benchmarks
        code, output = run(words, min(share * remaining + 90, max(until + 30 - time.time(), 30)), environment)
        lines = []
        for row in json.loads(file.read_text())["benchmarks"] if file.exists() and file.stat().st_size else []:
            lines += [f"- {row['name']}", *(f"  - {name}: {value}" for name, value in row["extra_info"].items())]
        measured = code == 0 and bool(lines)
        if not measured:
            lines += ["", f"FAILED with {code}", "", "```", *output.splitlines()[-60:], "```"]
        results.add(what.replace("_", " ").capitalize(), lines)
        passed &= measured
    return passed


def train(results: Results, seconds: float) -> None:
    """A complete `ganzoo train`, with data loading and checkpoints, if MNIST is available."""
    run_folder = HERE / "build" / f"run-{os.getpid()}"
    words = [sys.executable, "-m", "ganzoo", "train", "dcgan", "--dataset", "mnist", "--set", "image_size=64"]
    words += ["--epochs", "50", "--precision", "bf16", "--out", str(run_folder)]
    environment = {}
    if (HERE.parent / "shared" / "datasets").is_dir():
        environment["GANZOO_DATA"] = os.environ.get("GANZOO_DATA", str(HERE.parent / "shared" / "datasets"))
    start = time.time()
    code, output = run(words, max(seconds, 60), environment)
    summary = [line for line in output.splitlines() if "Trained" in line or "rror" in line or "graph" in line]
    state = f"{time.time() - start:.0f} s, everything included" if code == 0 else f"not finished ({code})"
    results.add("50 epochs of MNIST at 64 x 64, bf16", [state, "", *(f"    {line}" for line in summary[-5:])])


def check_kernels(results: Results, until: float) -> bool:
    """The tests of the kernels that need no torch, then the same under compute-sanitizer."""
    words = [*compiling(f"-j{os.cpu_count()}"), "cuda-kernels"]
    return stage(results, "Kernels without torch", words, 120) & sanitize(results, until)


def sanitize(results: Results, until: float) -> bool:
    """Run the kernels under compute-sanitizer; returns False if it found an error.

    It does not work on every machine, and may not finish in the remaining time; neither counts as a failure.
    """
    passed = True
    for tool in ("memcheck", "racecheck"):
        code, output = run([*compiling(), f"cuda-{tool}"], max(until - time.time(), 15))
        absent = "Device not supported" in output  # the error it then counts is its own failure
        errors = not absent and re.search(r"(ERROR|RACECHECK) SUMMARY: (?!0 )", output)
        state = "found nothing" if code == 0 else "not finished: out of time" if code == 124 else f"ended with {code}"
        end = [line for line in output.splitlines() if line.strip()][-3 if code == 0 else -20 :]
        results.add(f"compute-sanitizer, {tool}", ["FOUND ERRORS" if errors else state, "", "```", *end, "```"])
        passed &= not errors
    return passed


def run(words: list[str], seconds: float, environment: dict[str, str] | None = None) -> tuple[int, str]:
    """The exit code and output of a command; the code is 124 if it took longer than `seconds`."""
    variables = {**os.environ, **(environment or {})}
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True, "errors": "replace"}
    process = subprocess.Popen(words, cwd=HERE, env=variables, start_new_session=True, **pipes)
    try:
        output, _ = process.communicate(timeout=seconds)
        return process.returncode, output
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)  # with its children, which would keep the pipe and the GPU
        return 124, process.communicate()[0]


if __name__ == "__main__":
    main()
