"""The preview of samples in the terminal."""

from __future__ import annotations

import io

import torch
from rich.console import Console

from ganzoo.cli.terminal import draw, draw_images
from ganzoo.core.spec import DataSpec


class Screen(io.StringIO):
    def __init__(self, encoding: str):
        super().__init__()
        self._encoding = encoding

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._encoding


def printed(images: torch.Tensor, encoding: str = "utf-8", colours: bool = False, width: int = 80) -> list[str]:
    screen = Screen(encoding)
    system = "truecolor" if colours else None
    console = Console(file=screen, color_system=system, force_terminal=colours, width=width)  # type: ignore[arg-type]
    draw_images(images, console, columns=len(images))
    return screen.getvalue().splitlines()


def image(rows: list[list[int]]) -> torch.Tensor:
    return torch.tensor(rows, dtype=torch.uint8)[None, None]


def test_without_colours_brightness_is_shaded_and_edges_are_half_blocks() -> None:
    shades = image([[0, 64, 128, 191, 255]] * 2 + [[255, 0, 255, 0, 255]] + [[0, 255, 0, 255, 255]] + [[0] * 5])
    assert [line.strip() for line in printed(shades)] == ["░▒▓█", "▀▄▀▄█", ""]


def test_without_utf8_the_characters_are_ascii() -> None:
    shades = image([[0, 64, 110, 191, 255]] * 4 + [[0] * 5])
    assert [line.strip() for line in printed(shades, "ascii")] == [":=#@"] * 2 + [""]


def test_a_light_image_is_not_a_solid_block() -> None:
    light = image([[255, 255, 180, 255, 255]] * 5)
    assert printed(light)[0].strip() == "██▓██"


def test_with_colours_every_pixel_has_its_own_colour() -> None:
    rows = torch.tensor([[10, 20, 30], [40, 50, 60], [0, 0, 0], [0, 0, 0], [0, 0, 0]], dtype=torch.uint8)
    line = printed(rows.T[None, :, :, None].expand(1, 3, 5, 5), colours=True)[0]
    assert "38;2;10;20;30;48;2;40;50;60m▀" in line


def test_images_are_scaled_to_the_width_of_the_console() -> None:
    lines = printed(torch.full((3, 1, 64, 64), 255, dtype=torch.uint8), width=40)
    assert {len(line) for line in lines} == {3 * 12 + 4}
    assert len(lines) == 7
    assert printed(torch.full((9, 1, 64, 64), 255, dtype=torch.uint8), width=40) == []  # too narrow


def test_points_are_light_on_dark_without_colours_and_red_on_white_with_them() -> None:
    points = torch.ones(50, 2)
    plain, coloured = Screen("utf-8"), Screen("utf-8")
    draw([(points, DataSpec(2, 0).target)], Console(file=plain, color_system=None, width=80))
    draw(
        [(points, DataSpec(2, 0).target)],
        Console(file=coloured, color_system="truecolor", force_terminal=True, width=80),
    )
    assert set(plain.getvalue()) <= set(" ▀▄░▒▓█\n")
    assert 4 <= sum(character != " " for character in plain.getvalue().replace("\n", "")) <= 12
    assert "38;2;255;255;255" in coloured.getvalue()
    assert "38;2;196;30;58" in coloured.getvalue()
