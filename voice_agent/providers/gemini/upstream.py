"""Which private parts of livekit-plugins-google are overridden or relied on, as of 1.8.9.

The one exception to the rule against touching private attributes (CONTRIBUTING.md, docs/adr/0015):
versions are pinned, a test compares these digests, and what to re-check is written beside each.
"""

import hashlib
import inspect

from livekit.plugins.google.realtime.realtime_api import RealtimeModel, RealtimeSession

OVERRIDDEN = {
    "__init__": ("06cf8ae16d57", "starts _main_task; our fields exist before it; _opts is copied"),
    "_main_task": ("9ed27909138e", "ours connects, retries and seeds: compare what it sends"),
    "_send_client_event": ("5b63c10a540f", "ours sorts events: is there a new kind?"),
    "_mark_restart_needed": ("4d2b80df8fc4", "ours asks for a switch between turns"),
    "_handle_go_away": ("e83a967c5707", "ours switches between turns"),
    "_mark_current_generation_done": ("ab2e4104e1e4", "ours takes the items it adds to _chat_ctx"),
    "_start_new_generation": ("096eab6a6ae0", "ours counts generations; resolves the asked reply"),
    "_handle_input_speech_started": ("393f44f7138e", "ours is silent when a cut reply goes on"),
    "_build_connect_config": ("62d3f5f19b83", "ours sets handle and history_config afterwards"),
    "update_chat_ctx": ("4a4cee5f8524", "ours hands over to the ledger"),
    "update_tools": ("49d5fe8295ed", "ours asks for a switch"),
    "update_instructions": ("4cb511efb59e", "ours asks for a switch, or sends"),
    "generate_reply": ("90330777c9b1", "ours asks again after a loss: compare the turns it sends"),
}
RELIED_ON = {
    "_recv_task": ("15bb02e26bb8", "runs on our Link: what does it read, when does it end?"),
    "_send_task": ("8349fe2c7f43", "replaced: what does it send that we do not?"),
    "_sync_chat_ctx": ("510814dc3281", "replaced: what does it send that we do not?"),
}
SESSION = ("e204da41f3c8", "RealtimeModel.session: ours makes our session")


def digest(function: object) -> str:
    """The first 12 hex digits of the SHA-256 of a function's source."""
    source = inspect.getsource(function)  # type: ignore[arg-type]
    return hashlib.sha256(source.encode()).hexdigest()[:12]


def changed() -> list[str]:
    """Name every private part that is not what it was, with what to re-check."""
    found = [
        f"{name}: {what}"
        for name, (was, what) in {**OVERRIDDEN, **RELIED_ON}.items()
        if digest(getattr(RealtimeSession, name)) != was
    ]
    if digest(RealtimeModel.session) != SESSION[0]:
        found.append(SESSION[1])
    return found
