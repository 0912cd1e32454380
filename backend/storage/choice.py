"""Chooses the database by its address."""

from backend.errors import StartRefused
from backend.settings import Settings
from backend.storage.ports import Storage
from backend.storage.postgres.store import PostgresStorage
from backend.storage.sqlite.store import SqliteStorage, path_of


def open_storage(settings: Settings) -> Storage:
    """Choose the database by its address."""
    scheme = settings.database_url.partition(":")[0]
    if scheme == "sqlite":
        return SqliteStorage(path_of(settings.database_url))
    if scheme in {"postgresql", "postgres"}:
        return PostgresStorage(
            settings.database_url,
            connections=settings.database_connections,
            timeout_s=settings.database_timeout_s,
        )
    raise StartRefused(
        f"VOICE_BACKEND__DATABASE_URL: {scheme}: is no database this program knows;"
        " use sqlite:///PATH or postgresql://USER:PASSWORD@HOST/DATABASE"
    )
