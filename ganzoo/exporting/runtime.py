"""ONNX Runtime Web: the two files of the npm package onnxruntime-web that run a model in a browser."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

import platformdirs

from ganzoo.core.errors import GanzooError, UsageError
from ganzoo.core.files import atomic, open_regular

VERSION = "1.30.0"
PACKAGE = f"onnxruntime-web@{VERSION}"
SCRIPT, BINARY = "ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm"
DIGESTS = {
    SCRIPT: "11e64bd8ffe11bd1a2a2f0d6275fdfbbba7262f0b76b99b53d228a8a22ef3d90",
    BINARY: "3398c10d07d229bd91b364548e130e0e51a8e5704b88c7c083ebbeb78842dee2",
}
"""The sha256 of the files of VERSION, which are downloaded; a folder that the user names may hold another version."""
PLACES = ("", "dist", "package/dist", "onnxruntime-web/dist", "node_modules/onnxruntime-web/dist")
MAX_BYTES = 1 << 28


def files(folder: str | os.PathLike[str] | None = None) -> tuple[bytes, bytes]:
    """The script and the binary: from `folder`, or from the cache, into which npm downloads them the first time.

    Raises UsageError if `folder` lacks them, GanzooError if they cannot be downloaded or have another digest.
    """
    if folder is not None:
        for place in PLACES:
            found = Path(os.path.expanduser(folder)) / place
            if all((found / name).is_file() for name in DIGESTS):
                return _read(found / SCRIPT), _read(found / BINARY)
        raise UsageError(
            f"--runtime {folder}: {SCRIPT} and {BINARY} are not there. They come with: npm install {PACKAGE}"
        )
    cache = platformdirs.user_cache_path("ganzoo") / f"onnxruntime-web-{VERSION}"
    if not all(_is_intact(cache / name) for name in DIGESTS):
        _download(cache)
    return _read(cache / SCRIPT), _read(cache / BINARY)


def _download(cache: Path) -> None:
    npm = shutil.which("npm")
    advice = f"Install it where there is a network, npm install {PACKAGE}, and use --runtime FOLDER."
    if npm is None:
        raise GanzooError(f"A page needs the npm package {PACKAGE}, and there is no npm to download it with. {advice}")
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        done = subprocess.run([npm, "pack", "--silent", PACKAGE], cwd=temporary, capture_output=True, text=True)
        archives = list(Path(temporary).glob("*.tgz"))
        if done.returncode or not archives:
            reason = (done.stderr.strip().splitlines() or ["npm pack failed"])[0]
            raise GanzooError(f"The npm package {PACKAGE} could not be downloaded: {reason}. {advice}")
        with tarfile.open(archives[0]) as archive:
            for name, digest in DIGESTS.items():
                member = archive.extractfile(f"package/dist/{name}")
                content = member.read(MAX_BYTES) if member else b""
                if hashlib.sha256(content).hexdigest() != digest:
                    raise GanzooError(f"{name} of {PACKAGE} does not have the expected sha256 {digest}.")
                with atomic(cache / name) as file:
                    file.write_bytes(content)


def _is_intact(path: Path) -> bool:
    return path.is_file() and hashlib.sha256(_read(path)).hexdigest() == DIGESTS[path.name]


def _read(path: Path) -> bytes:
    with open_regular(path) as file:
        return file.read(MAX_BYTES)
