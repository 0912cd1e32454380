"""Which packages must be of which version, looked up without importing any of them.

So a worker whose packages do not fit together says so in a line, before an import of one of them
ends it with a traceback. google-genai's interface and the private parts of livekit-plugins-google
are what ``gemini`` was written against (docs/adr/0015); livekit-protocol is what rooms speak.
"""

from importlib.metadata import PackageNotFoundError, version

ALWAYS = {"livekit-agents": "1.8.9", "livekit-protocol": "1.1.29"}
GEMINI = {**ALWAYS, "livekit-plugins-google": "1.8.9", "google-genai": "3.4.0"}


def wrong_versions(wanted: dict[str, str]) -> list[str]:
    """Name every package that is missing or of another version; what to install is in the line."""
    found: list[str] = []
    for name, pinned in wanted.items():
        remedy = f"pip install '{name}=={pinned}'"
        try:
            has = version(name)
        except PackageNotFoundError:
            found.append(f"{name} is not installed: {remedy}")
            continue
        if has != pinned:
            found.append(f"{name} is {has}, this was written for {pinned}: {remedy}")
    return found
