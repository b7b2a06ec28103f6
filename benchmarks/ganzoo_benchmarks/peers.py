"""The implementations compared on a forward or backward pass: the kernels, PyTorch's fastest forms, inference engines.

Each builder turns a network and an input into a call without arguments, which returns its results. A builder, or the
first call, raises ImportError if a package is missing and RuntimeError if the peer does not work.
"""

from __future__ import annotations

import copy
import functools
import importlib
import io
import warnings
from collections.abc import Callable
from typing import Any, Literal

import torch
from ganzoo_benchmarks.networks import folded, plain
from torch import Tensor, nn

from ganzoo.ops import use_backend

Pass = Literal["inference", "forward", "backward"]
Call = Callable[[], tuple[Tensor, ...]]
NATIVE, REFERENCE, CHANNELS_LAST, COMPILE = "native", "eager NCHW", "eager channels_last", "torch.compile"
NATIVE_FLOAT32 = "native float32"


def contestants(network: nn.Module, x: Tensor, what: Pass, backend: str) -> dict[str, Callable[[], Call]]:
    """Builders by name of `what` of `network` at `x`; the native kernels run through ganzoo's `backend`.

    "inference" and "forward" (with batch statistics) return the output, "backward" is a forward and backward pass that
    returns the output and the gradients of the input and of every parameter.
    """
    network = network.train(what != "inference")
    best = folded(network) if what == "inference" else plain(network)
    builders: dict[str, Callable[[], Call]] = {
        NATIVE: lambda: _native(network, x, what, backend),
        REFERENCE: lambda: _eager(plain(network), x, what, torch.contiguous_format),
        CHANNELS_LAST: lambda: _eager(best, x, what, torch.channels_last),
        COMPILE: lambda: _compiled(best, x, what),
    }
    if what == "inference":
        builders["ONNX Runtime"] = lambda: _onnxruntime(best, x)
        builders["OpenVINO"] = lambda: _openvino(best, x)
    return builders


def bfloat16_contestants(network: nn.Module, x: Tensor) -> dict[str, Callable[[], Call]]:
    """Builders by name of the inference of `network` at `x` in bfloat16, and in float32: ours and the reference.

    The kernels run under autocast; PyTorch's peers have their weights in bfloat16 before they start.
    """
    best = folded(network.eval())
    half, input = copy.deepcopy(best).bfloat16(), x.bfloat16()

    def in_bfloat16() -> Call:
        call = _native(network, x, "inference", "auto")

        def run() -> tuple[Tensor, ...]:
            with torch.autocast("cpu", torch.bfloat16):
                return call()

        return run

    return {
        NATIVE: in_bfloat16,
        NATIVE_FLOAT32: lambda: _native(network, x, "inference", "auto"),
        REFERENCE: lambda: _eager(plain(network), x, "inference", torch.contiguous_format),
        CHANNELS_LAST: lambda: _eager(half, input, "inference", torch.channels_last),
        COMPILE: lambda: _compiled(half, input, "inference"),
        "OpenVINO": lambda: _openvino(best, x, "bf16"),
    }


def _native(network: nn.Module, x: Tensor, what: Pass, backend: str) -> Call:
    call = _eager(network, x, what, torch.channels_last)

    def run() -> tuple[Tensor, ...]:
        with use_backend(backend):
            return call()

    return run


def _eager(network: nn.Module, x: Tensor, what: Pass, memory_format: torch.memory_format) -> Call:
    module, input = _formatted(network, x, what, memory_format)
    return functools.partial(_pass, module, list(module.parameters()), input, what)


def _compiled(network: nn.Module, x: Tensor, what: Pass) -> Call:
    module, input = _formatted(network, x, what, torch.channels_last)
    # fullgraph: an error instead of a silent return to eager mode if something does not compile
    return functools.partial(_pass, torch.compile(module, fullgraph=True), list(module.parameters()), input, what)


def _formatted(
    network: nn.Module, x: Tensor, what: Pass, memory_format: torch.memory_format
) -> tuple[nn.Module, Tensor]:
    module: nn.Module = copy.deepcopy(network).to(memory_format=memory_format)  # type: ignore[call-overload]
    input = x.contiguous(memory_format=memory_format) if x.dim() == 4 else x
    return module, input.detach().requires_grad_(what == "backward")


def _pass(network: Callable[[Tensor], Tensor], parameters: list[nn.Parameter], x: Tensor, what: Pass) -> Any:
    if what != "backward":
        with torch.no_grad():
            return (network(x),)
    leaves = [x, *parameters]
    for leaf in leaves:
        leaf.grad = None
    out = network(x)
    # the output as its own gradient: near the ReLU's corner, where rounding may change the side, the gradient is small
    torch.autograd.backward(out, out.detach())
    return (out.detach(), *(leaf.grad for leaf in leaves))


def _onnxruntime(network: nn.Module, x: Tensor) -> Call:
    onnxruntime = importlib.import_module("onnxruntime")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    # by default its threads keep spinning after a run, during the turns of the others
    options.add_session_config_entry("session.force_spinning_stop", "1")
    session = onnxruntime.InferenceSession(_onnx(network, x), options, providers=["CPUExecutionProvider"])
    feed = {"x": x.numpy()}
    return lambda: (torch.from_numpy(session.run(None, feed)[0]),)


def _openvino(network: nn.Module, x: Tensor, precision: str = "f32") -> Call:
    core = importlib.import_module("openvino").Core()
    options = {
        "INFERENCE_PRECISION_HINT": precision,  # by default bf16 if the processor has it
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        "PERFORMANCE_HINT": "LATENCY",
    }
    request = core.compile_model(core.read_model(_onnx(network, x)), "CPU", options).create_infer_request()
    feed = {0: x.numpy()}
    return lambda: (torch.from_numpy(request.infer(feed, share_inputs=True, share_outputs=True)[0]),)


def _onnx(network: nn.Module, x: Tensor) -> bytes:
    """`network` for inputs of the size of `x` as ONNX, by PyTorch's older exporter: the newer one needs onnxscript."""
    importlib.import_module("onnx")  # required by the exporter, whose own message is less clear
    model = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        export: Any = torch.onnx.export  # its annotations do not allow a buffer
        export(network, (x,), model, dynamo=False, input_names=["x"], output_names=["y"])
    return model.getvalue()
