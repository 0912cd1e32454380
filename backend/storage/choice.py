"""Chooses the database by its address."""

from backend.errors import StartRefused
from backend.settings import Settings
from backend.storage.ports import Storage
from backend.storage.sqlite.store import SqliteStorage, path_of


def open_storage(settings: Settings) -> Storage:
    """Choose the database by its address."""
    scheme = settings.database_url.partition(":")[0]
    if scheme == "sqlite":
        return SqliteStorage(path_of(settings.database_url))
    raise StartRefused(
        f"VOICE_BACKEND__DATABASE_URL: {scheme}: is not built yet; use sqlite:///PATH"
    )
