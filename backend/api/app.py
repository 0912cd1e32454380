"""Puts the application together: the only place of the backend that names concrete classes."""

import functools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from backend.api import (
    calls,
    conversations,
    copies,
    events,
    health,
    pages,
    problems,
    profiles,
    search,
    stream,
    usage,
    writers,
)
from backend.api.contract import document
from backend.api.metrics import MeasuredApp, Metrics
from backend.calls.dispatcher import Dispatcher
from backend.calls.opening import Opening
from backend.calls.rooms import Rooms
from backend.jobs import supervised
from backend.service.access import Access
from backend.service.indexing import index
from backend.service.live import Live
from backend.service.pruning import Pruner
from backend.service.sweeping import Sweeper
from backend.settings import Settings
from backend.storage.choice import open_storage

_ROUTERS = (
    conversations.router,
    writers.router,
    events.router,
    stream.router,
    calls.router,
    search.router,
    usage.router,
    copies.router,
    profiles.router,
    health.router,
)


def create_app(settings: Settings, metrics: Metrics | None = None) -> FastAPI:
    """Make the application. Its lifespan opens the database and runs the jobs."""
    measured = metrics or Metrics()
    storage = open_storage(settings)
    rooms = Rooms(settings)
    live = Live(storage, max_followers=settings.max_streams)
    dispatcher = Dispatcher(settings, storage, rooms, measured)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await storage.open()
        try:
            async with supervised(drain_s=settings.drain_s) as jobs:
                jobs.start("live", live.run)
                if settings.retention_events or settings.retention_s:
                    jobs.start("retention", Pruner(storage=storage, settings=settings).run)
                sweeper = Sweeper(storage=storage, lost_s=settings.writer_lost_s)
                jobs.start("sweep", sweeper.run)
                jobs.start("index", functools.partial(index, storage))
                if settings.has_livekit:
                    jobs.start("dispatcher", dispatcher.run)
                yield
        finally:
            await rooms.close()
            await storage.close()

    app = FastAPI(
        title="Throughline backend",
        description="The truth of every conversation.",
        lifespan=lifespan,
        openapi_url="/openapi.json",
        docs_url=None,  # its page loads scripts from elsewhere
        redoc_url=None,
    )
    app.state.settings = settings
    app.state.storage = storage
    app.state.access = Access(storage)
    app.state.live = live
    app.state.metrics = measured
    app.state.dispatcher = dispatcher
    app.state.opening = Opening(settings, storage, rooms, dispatcher)
    for router in _ROUTERS:
        app.include_router(router)
    app.openapi = lambda: document(app)  # type: ignore[method-assign]  # FastAPI's documented way
    problems.install(app)
    pages.install(app, settings.web_folder)
    app.add_middleware(MeasuredApp, metrics=measured)
    app.add_middleware(pages.SafeHeaders, livekit_url=settings.dialled_url)
    return app
