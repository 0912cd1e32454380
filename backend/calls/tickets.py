"""The token a caller joins its room with: this room, a microphone, data, and nothing else.

No ``room_config``: it would let a client write the room's metadata and dispatch agents itself
(docs: LiveKit's standard token endpoint passes it through; ours does not).
"""

from datetime import timedelta

from livekit import api

from backend.settings import Settings


def ticket(settings: Settings, *, room: str, identity: str, name: str) -> str:
    """Make a LiveKit token of the least grants a caller needs."""
    grants = api.VideoGrants(
        room_join=True,
        room=room,
        can_publish=True,
        can_publish_sources=["microphone"],
        can_publish_data=True,
        can_subscribe=True,
        can_update_own_metadata=False,
    )
    token = (
        api.AccessToken(settings.livekit_api_key, settings.livekit_api_secret.get_secret_value())
        .with_identity(identity)
        .with_ttl(timedelta(seconds=settings.call_token_ttl_s))
        .with_grants(grants)
    )
    return (token.with_name(name) if name else token).to_jwt()
