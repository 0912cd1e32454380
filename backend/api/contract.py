"""openapi.json: the routes from FastAPI, the shapes from msgspec, the problems everywhere."""

import json
from pathlib import Path
from typing import Any, Final

import msgspec
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from backend.api import shapes
from backend.rules.events import KINDS

FILE: Final = Path(__file__).parent.parent / "openapi.json"
Json = dict[str, Any]  # Any: an OpenAPI document

_REF: Final = "#/components/schemas/{name}"
_EVENT: Final[Json] = {
    "type": "object",
    "title": "Event",
    "description": "An event of the log, format version 1. Unknown fields are kept as they are.",
    "required": ["event_id", "kind", "at"],
    "properties": {
        "v": {"const": 1},
        "event_id": {"type": "string", "pattern": "^[A-Za-z0-9_-]{1,64}$"},
        "ordinal": {"type": "integer", "minimum": 1, "maximum": 2**53 - 1},
        "kind": {"enum": sorted(KINDS)},
        "at": {"type": "string", "format": "date-time"},
        "turn_id": {"type": ["string", "null"], "pattern": "^[A-Za-z0-9_-]{1,64}$"},
        "session_number": {"type": ["integer", "null"], "minimum": 0},
        "conversation_id": {"type": "string"},
        "writer_id": {"type": "string"},
        "fence": {"type": "integer"},
        "position": {"type": "integer"},
    },
    "additionalProperties": True,
}
_PROBLEMS: Final = {
    "400": "Malformed",
    "401": "No token, or not a valid one",
    "403": "The token's scope does not reach this",
    "404": "Unknown, or of another tenant",
    "409": "Conflict",
    "410": "The cursor points into what was pruned",
    "412": "If-Match does not fit what is stored",
    "413": "Too large",
    "415": "Not application/json",
    "501": "Not built yet",
    "503": "A part is away or busy: try again after Retry-After",
}


def described(
    *, answers: dict[int, type[msgspec.Struct]], body: type[msgspec.Struct] | None = None
) -> Json:
    """Make the route arguments that describe a request's body and its answers."""
    extra: Json = {}
    if body is not None:
        content = {"application/json": {"schema": {"$ref": _REF.format(name=body.__name__)}}}
        extra["requestBody"] = {"required": True, "content": content}
    return {
        "response_model": None,
        "status_code": min(answers),
        "openapi_extra": extra,
        "responses": {
            status: {
                "description": (shape.__doc__ or "").strip(),
                "content": {
                    "application/json": {"schema": {"$ref": _REF.format(name=shape.__name__)}}
                },
            }
            for status, shape in answers.items()
        },
    }


def document(app: FastAPI) -> Json:
    """Make the whole document."""
    made = get_openapi(
        title="Throughline backend", version="1", routes=app.routes, description=app.description
    )
    made["components"] = {
        "schemas": _schemas(),
        "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
    }
    for path, operations in made["paths"].items():
        for operation in operations.values():
            _finish(path, operation)
    return made


def rendered(app: FastAPI) -> str:
    """Write the document as the repository keeps it."""
    return json.dumps(document(app), indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def _schemas() -> Json:
    every = [
        kind
        for kind in vars(shapes).values()
        if isinstance(kind, type)
        and issubclass(kind, msgspec.Struct)
        and kind is not msgspec.Struct
    ]
    _, found = msgspec.json.schema_components(every, ref_template=_REF)
    schemas: Json = {**found, "Event": _EVENT}
    for name, field in (("EventsIn", "events"), ("EventsOut", "items"), ("MessagesOut", "items")):
        schemas[name]["properties"][field] = {
            "type": "array",
            "items": {"$ref": _REF.format(name="Event")},
        }
    schemas["HitOut"]["properties"]["event"] = {"$ref": _REF.format(name="Event")}
    schemas["EventsIn"]["properties"]["events"]["maxItems"] = 500
    text = json.dumps(schemas).replace(r"\\Z", "$")  # Python's end of text, in ECMA's words
    plain: Json = json.loads(text)
    return plain


def _finish(path: str, operation: Json) -> None:
    """Give an operation its problems; 422 is never answered."""
    operation["responses"].pop("422", None)
    if not path.startswith("/v1/"):
        return
    operation["security"] = [{"token": []}]
    for status, description in _PROBLEMS.items():
        operation["responses"].setdefault(
            status,
            {
                "description": description,
                "content": {
                    "application/problem+json": {"schema": {"$ref": _REF.format(name="ProblemOut")}}
                },
            },
        )
