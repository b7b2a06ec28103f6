"""The addresses of the page: which request leads to which function."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from importlib import resources
from typing import TYPE_CHECKING, Any

from ganzoo.core import files
from ganzoo.core.errors import GanzooError, UsageError, memory_exhausted
from ganzoo.core.version import __version__
from ganzoo.explore import uploads
from ganzoo.explore.latent_space import FILM_FRAMES, LatentSpace, LatentSpaces
from ganzoo.explore.live import LiveTraining
from ganzoo.explore.plane import encode, plane_of
from ganzoo.explore.recipe import Recipe, pins_of
from ganzoo.explore.run_folder import RunFolder, details, read_grid
from ganzoo.explore.security import MAX_JSON_BYTES, Guard, read_body

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from torch import Tensor

BYTES = "application/octet-stream"
RUNS_EVERY = 1.0
"""Seconds between two looks at the folder of runs."""
LIVE_EVERY = 0.03
"""Seconds between two looks at the training of the page."""
SILENCE = 10.0
"""Seconds after which a stream sends a comment, so that a lost connection is noticed."""


class Page:
    """The functions behind the addresses. Everything that may take long runs in a thread."""

    def __init__(self, folder: RunFolder, live: LiveTraining | None, device: str | None, ending: Callable[[], bool]):
        self.folder = folder
        self.live = live
        self.ending = ending
        self.latent_spaces = LatentSpaces(device)
        self._worker = ThreadPoolExecutor(1, "explore-pictures")
        self._projecting = asyncio.Lock()

    def home(self, request: Request) -> Response:
        return answer({
            "version": __version__, "folder": str(self.folder.root),
            "live": None if self.live is None else {"step": self.live.status["step"]},
            "runs": self.folder.summaries(),
        })  # fmt: skip

    async def runs(self, request: Request) -> Response:
        """The table of runs, again whenever it changes."""

        async def stream() -> AsyncIterator[str]:
            last = ""
            while not self.ending():
                rows = json.dumps(await in_thread(self.folder.summaries))
                yield event("runs", rows) if rows != last else ""
                last = rows
                await asyncio.sleep(RUNS_EVERY)

        return events(stream())

    def run(self, request: Request) -> Response:
        return answer(details(self._opened(request)))

    def grid(self, request: Request) -> Response:
        from starlette.responses import Response

        return Response(read_grid(self._opened(request), request.path_params["step"]), media_type="image/png")

    async def training(self, request: Request) -> Response:
        """The training of the page: what it is, then its pictures, rows and status as they come."""
        live = self._live()

        async def stream() -> AsyncIterator[str]:
            version, generation, sent, rows = -1, -1, 0, None
            with live.watched():
                while not self.ending():
                    if live.version == version:
                        yield ""
                        await asyncio.sleep(LIVE_EVERY)
                        continue
                    version = live.version
                    if live.generation != generation:
                        generation = live.generation
                        yield event("description", json.dumps(live.description))
                    if live.training.rows is not rows:  # of another training, or thinned
                        rows, sent = live.training.rows, 0
                        yield event("reset", "{}")
                    new = rows[sent:]
                    sent += len(new)
                    yield event("news", json.dumps({"picture": live.picture, "status": live.status, "rows": new}))
                    await asyncio.sleep(LIVE_EVERY)

        return events(stream())

    async def command(self, request: Request) -> Response:
        self._live().command(await read_json(request))
        return answer({})

    def plane(self, request: Request) -> Response:
        """A run of points in the plane, by its newest checkpoint."""
        return answer(plane_of(self._opened(request)))

    async def latent(self, request: Request) -> Response:
        space = await self._latent_space(request)
        return answer(await self._compute(lambda: space.description))

    async def frame(self, request: Request) -> Response:
        """The picture of a recipe: its bytes, row by row, channels last."""
        space, recipe = await self._latent_space(request), Recipe.of(await read_json(request))
        return pixels((await self._compute(space.picture, recipe))[None])

    async def wall(self, request: Request) -> Response:
        """The pictures of pins."""
        space = await self._latent_space(request)
        pins, truncation = pins_of(await read_json(request))
        return pixels(await self._compute(space.wall, pins, truncation))

    async def about(self, request: Request) -> Response:
        """What D says of a picture, the training images nearest to it, and what makes it again."""
        space, recipe = await self._latent_space(request), Recipe.of(await read_json(request))
        picture, score = await self._compute(lambda: (space.picture(recipe), space.score(recipe)))
        known: dict[str, Any] = {"score": score, "code": space.code(recipe)}
        known["walk"] = recipe.walk_command(str(space.run.path), FILM_FRAMES)
        try:
            found = await in_thread(space.nearest, picture)
        except GanzooError as failure:  # the data may be elsewhere; all else is known
            return answer({**known, "nearest": [], "reason": str(failure)})
        shown = [{"index": i, "rms": rms, "image": encode(image.permute(1, 2, 0))} for i, rms, image in found]
        return answer({**known, "nearest": shown, "reason": ""})

    async def directions(self, request: Request) -> Response:
        space, asked = await self._latent_space(request), await read_json(request)
        found = await self._compute(space.directions, asked.get("method"))
        return answer({"names": found.names, "effects": [round(effect, 2) for effect in found.effects.tolist()]})

    async def project(self, request: Request) -> Response:
        """Project the image in the body, and name the pin for it."""
        space = await self._latent_space(request)
        image = await in_thread(uploads.decode, await read_body(request, uploads.MAX_BYTES), space.gan.spec.shape)
        async with self._projecting:
            gan = await self._compute(space.copy_of_gan)
            name, found = await in_thread(space.project, gan, image, label_in(request))
        return answer({
            "image": name, "psnr": decibels(found.psnr), "random_psnr": decibels(found.random_psnr),
            "length": round(found.length, 2),
        })  # fmt: skip

    async def file(self, request: Request) -> Response:
        """A picture or a film to keep."""
        from starlette.responses import Response

        space, recipe = await self._latent_space(request), Recipe.of(await read_json(request))
        kind = request.path_params["kind"]
        makers = {"png": (space.png, "image/png"), "gif": (space.gif, "image/gif"), "npz": (space.npz, BYTES)}
        if kind not in makers:
            raise UsageError(f"There is no file of the kind {kind!r}.")
        make, media_type = makers[kind]
        return Response(await self._compute(make, recipe), media_type=media_type)

    async def _latent_space(self, request: Request) -> LatentSpace:
        identifier = request.path_params["identifier"]
        known: LatentSpace | None = self.latent_spaces.known(identifier)
        if known is not None:
            return known
        run = await in_thread(self.folder.open, identifier)
        space: LatentSpace = await self._compute(self.latent_spaces.get, identifier, run)
        return space

    async def _compute(self, function: Any, *arguments: Any) -> Any:
        """What `function` returns; one at a time, in the thread of all pictures."""
        return await asyncio.get_running_loop().run_in_executor(self._worker, function, *arguments)

    def _opened(self, request: Request) -> Any:
        return self.folder.open(request.path_params["identifier"])

    def _live(self) -> LiveTraining:
        if self.live is None:
            raise UsageError("The page trains nothing: start it with ganzoo explore --train ARCH --dataset NAME.")
        return self.live


def application(
    folder: RunFolder,
    live: LiveTraining | None,
    token: str,
    device: str | None = None,
    ending: Callable[[], bool] = lambda: False,
    **guard: Any,
) -> Guard:
    """The application, behind its guard. Its streams end once `ending` says so."""
    from starlette.applications import Starlette
    from starlette.routing import Mount, Route
    from starlette.staticfiles import StaticFiles

    page = Page(folder, live, device, ending)
    static = str(resources.files("ganzoo.explore").joinpath("static"))
    routes = [
        Route("/api/home", page.home),
        Route("/api/runs", page.runs),
        Route("/api/runs/{identifier}", page.run),
        Route("/api/runs/{identifier}/grid/{step:int}", page.grid),
        Route("/api/runs/{identifier}/plane", page.plane),
        Route("/api/runs/{identifier}/latent", page.latent),
        *(
            Route(f"/api/runs/{{identifier}}/{function.__name__}", function, methods=["POST"])
            for function in (page.frame, page.wall, page.about, page.directions, page.project)
        ),
        Route("/api/runs/{identifier}/file/{kind}", page.file, methods=["POST"]),
        Route("/api/training", page.training),
        Route("/api/training", page.command, methods=["POST"]),
        Mount("/", StaticFiles(directory=static, html=True)),
    ]
    return Guard(Starlette(routes=routes, exception_handlers={Exception: failed, GanzooError: refused}), token, **guard)


def refused(request: Request, failure: Exception) -> Response:
    """The answer to what ganzoo refuses: its message."""
    return answer({"error": str(failure)}, 400 if isinstance(failure, UsageError) else 409)


def failed(request: Request, failure: Exception) -> Response:
    """The answer where code failed, such as a plugin's: one message; the log has the rest."""
    if isinstance(failure, OSError):
        return answer({"error": f"{failure.strerror or failure}: {failure.filename or ''}".rstrip(": ")}, 409)
    if memory_exhausted(failure):
        return answer({"error": "There is not enough memory for this."}, 409)
    return answer({"error": f"This failed: {type(failure).__name__}: {failure}"}, 500)


def answer(content: Any, status: int = 200) -> Response:
    from starlette.responses import JSONResponse

    return JSONResponse(content, status)


def pixels(images: Tensor) -> Response:
    """Images uint8 [N, C, H, W] as bytes, row by row, channels last."""
    from starlette.responses import Response

    return Response(images.permute(0, 2, 3, 1).contiguous().numpy().tobytes(), media_type=BYTES)


def decibels(ratio: float) -> float | str:
    """A ratio to be shown; JSON has no infinity."""
    return "∞" if math.isinf(ratio) else round(ratio, 2)


def label_in(request: Request) -> int | None:
    """The class in the address, if there is one."""
    label = request.query_params.get("label", "")
    return int(label) if label.isascii() and label.isdecimal() and len(label) < 7 else None


def event(name: str, data: str) -> str:
    """A server-sent event; `data` is JSON, which has no line breaks."""
    return f"event: {name}\ndata: {data}\n\n"


def events(stream: AsyncIterator[str]) -> Response:
    """The response that sends the events of `stream`; empty ones only now and then, as a sign of life."""
    from starlette.responses import StreamingResponse

    async def with_signs_of_life() -> AsyncIterator[str]:
        clock = asyncio.get_running_loop().time
        spoke = clock()
        async for text in stream:
            if text or clock() - spoke > SILENCE:
                spoke = clock()
                yield text or ": nothing new\n\n"

    return StreamingResponse(with_signs_of_life(), media_type="text/event-stream")


async def in_thread(function: Any, *arguments: Any) -> Any:
    from starlette.concurrency import run_in_threadpool

    return await run_in_threadpool(function, *arguments)


async def read_json(request: Request) -> Mapping[str, Any]:
    """The JSON object in the body of a request. UsageError if there is none."""
    try:
        value = files.parse_json((await read_body(request, MAX_JSON_BYTES)).decode())
    except ValueError as failure:
        raise UsageError(f"The request is not valid: {failure}.") from None
    if not isinstance(value, dict):
        raise UsageError("The request is not valid: expected an object.")
    return value
