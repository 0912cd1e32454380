"""Write env.example and docs/configuration.md from the settings: ``python -m config [--check]``."""

import sys
from pathlib import Path
from typing import Any

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from config.settings import PREFIX, Settings

ROOT = Path(__file__).resolve().parent.parent
TARGETS = ("env.example", "docs/configuration.md")


def _rows() -> list[tuple[str, str, str, str]]:
    """(group, name, default, meaning) of every setting, in the order of the class."""
    rows: list[tuple[str, str, str, str]] = []
    for name, field in Settings.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            group = (kind.__doc__ or "").strip()
            rows += [
                (group, f"{PREFIX}{name}__{inner}".upper(), _default(each), each.description or "")
                for inner, each in kind.model_fields.items()
            ]
        else:
            alias = field.validation_alias
            shown = alias if isinstance(alias, str) else f"{PREFIX}{name}".upper()
            rows.append(("General", shown, _default(field), field.description or ""))
    return sorted(rows, key=lambda row: row[0] != "General")


def _default(field: FieldInfo) -> str:
    value: Any = field.default
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    if isinstance(value, Path):
        value = value.relative_to(ROOT) if value.is_absolute() else value
    return "" if value is None else str(value)


def env_example() -> str:
    """The text of env.example."""
    lines = ["# Every setting of the agent with its default. Made by 'python -m config'."]
    group = ""
    for row_group, name, default, meaning in _rows():
        if row_group != group:
            group = row_group
            lines += ["", f"## {group}"]
        lines += [f"# {meaning}", f"#{name}={default}"]
    return "\n".join(lines) + "\n"


def configuration() -> str:
    """The text of docs/configuration.md."""
    lines = [
        "# Configuration",
        "",
        "Made by `python -m config` from config/settings.py; change it there. An unknown `VOICE_`",
        "name or a value that cannot work stops the start with a line that names it. The backend",
        "has settings of its own (`VOICE_BACKEND__...`, backend/settings.py).",
    ]
    group = ""
    for row_group, name, default, meaning in _rows():
        if row_group != group:
            group = row_group
            lines += ["", f"## {group}", "", "| name | default | meaning |", "|---|---|---|"]
        lines.append(f"| `{name}` | {f'`{default}`' if default else '—'} | {meaning} |")
    return "\n".join(lines) + "\n"


def main() -> int:
    """Write both files, or with ``--check`` say whether they are current."""
    texts = dict(zip(TARGETS, (env_example(), configuration()), strict=True))
    if "--check" not in sys.argv:
        for name, text in texts.items():
            (ROOT / name).write_text(text, encoding="utf-8")
        return 0
    stale = [n for n, t in texts.items() if (ROOT / n).read_text(encoding="utf-8") != t]
    for name in stale:
        sys.stderr.write(f"{name} is not current: run 'python -m config'\n")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
