"""Export to ONNX, checked in ONNX Runtime."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ganzoo.core.errors import GanzooError
from ganzoo.exporting.generator import Generator, failures, quiet

PACKAGES = ("onnx", "onnxscript", "onnxruntime")


def convert(generator: Generator, facts: Mapping[str, Any]) -> tuple[bytes, float]:
    """The generator as an ONNX model with `facts` as its metadata, and how far its outputs are from the GAN's."""
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise GanzooError(
            f"Exporting to ONNX needs {', '.join(missing)}. Install with: pip install 'ganzoo-core[onnx]'"
        )
    import onnx

    program = generator.program()
    with failures(), quiet():
        exported = torch.onnx.export(
            program,
            tuple(generator.example(3).values()),
            input_names=[i.name for i in generator.inputs],
            output_names=[generator.output.name],
            dynamic_shapes=generator.dynamic_shapes("N"),
            verbose=False,
        )
        assert exported is not None
        model = exported.model_proto
        properties = {key: value if isinstance(value, str) else json.dumps(value) for key, value in facts.items()}
        onnx.helper.set_model_props(model, properties)
        content: bytes = model.SerializeToString()
    return content, generator.difference(lambda inputs: run(content, inputs))


def run(content: bytes, inputs: Mapping[str, Tensor]) -> Tensor:
    """The output of an ONNX model, computed by ONNX Runtime on the CPU."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    known = {value.name for value in session.get_inputs()}
    (output,) = session.run(None, {name: value.numpy() for name, value in inputs.items() if name in known})
    return torch.from_numpy(output)
