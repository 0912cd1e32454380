"""Whether the installed packages fit together: asked before any of them is imported."""

from config.settings import Settings, SettingsError
from voice_agent.providers.pinned import ALWAYS, GEMINI, wrong_versions


def check_packages(settings: Settings) -> None:
    """Refuse to start with what was not written for each other. Raises ``SettingsError``."""
    if wrong := wrong_versions(GEMINI if settings.provider == "gemini" else ALWAYS):
        raise SettingsError("; ".join(wrong))
