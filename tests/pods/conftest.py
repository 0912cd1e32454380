"""Pods below the audio, that share a real backend behind a fault proxy."""

from tests.integration.conftest import (  # noqa: F401 - fixtures are known where they are imported
    backend,
    proxy,
    token,
)
from tests.support.pods import make_pod  # noqa: F401 - see above
