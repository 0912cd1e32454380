"""A Chromium with a microphone that speaks a file, and the call page in it."""

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from playwright.async_api import Browser, ConsoleMessage, Locator, Page, async_playwright

Colours = Literal["light", "dark"]

_FLAGS = (
    "--use-fake-device-for-media-stream",
    "--autoplay-policy=no-user-gesture-required",
    "--no-sandbox",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-quic",
    "--no-first-run",
)


def chromium() -> str:
    """Find Chromium, or say how to get it: the page is never left untested silently."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        path = shutil.which(name)
        if path is not None:
            return path
    raise FileNotFoundError("Chromium is not on PATH: install it (Debian: apt install chromium)")


@asynccontextmanager
async def browser(microphone: Path | None = None) -> AsyncIterator[Browser]:
    """Run a headless Chromium; ``microphone``: 48 kHz mono WAV that it speaks in a loop."""
    flags = list(_FLAGS)
    if microphone is not None:
        flags += [
            "--use-fake-ui-for-media-stream",
            f"--use-file-for-fake-audio-capture={microphone}",
        ]
    async with async_playwright() as playwright:
        running = await playwright.chromium.launch(executable_path=chromium(), args=flags)
        try:
            yield running
        finally:
            await running.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class CallPage:
    """The call page, by its stable test ids."""

    page: Page
    complaints: list[str] = field(default_factory=list)

    def part(self, test_id: str) -> Locator:
        """Find an element by its data-testid."""
        return self.page.get_by_test_id(test_id)

    def lines(self, side: Literal["me", "agent"]) -> Locator:
        """Find the transcript's lines of one side."""
        return self.page.locator(f'[data-testid="line"][data-side="{side}"] .words')

    def body(self, **marks: str) -> Locator:
        """Find the page's body once it carries these data attributes."""
        return self.page.locator("body" + "".join(f'[data-{k}="{v}"]' for k, v in marks.items()))


@asynccontextmanager
async def call_page(
    running: Browser,
    *,
    width: int = 1280,
    height: int = 800,
    colours: Colours = "light",
) -> AsyncIterator[CallPage]:
    """Open an empty tab and collect what its console complains about."""
    context = await running.new_context(
        viewport={"width": width, "height": height}, color_scheme=colours, device_scale_factor=1
    )
    page = await context.new_page()
    opened = CallPage(page=page)

    def note(message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            opened.complaints.append(message.text)

    page.on("console", note)
    page.on("pageerror", lambda error: opened.complaints.append(str(error)))
    try:
        yield opened
    finally:
        await context.close()
