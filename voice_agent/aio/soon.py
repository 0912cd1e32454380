"""Once for many: work that follows others' and is done when the loop next comes round.

Lost if the process dies first: only for what is made up for otherwise.
"""

import asyncio
from collections.abc import Callable


class Soon:
    """Does ``act`` once for all who asked since it was last done."""

    def __init__(self, act: Callable[[], None]) -> None:
        self._act = act
        self._is_asked = False

    def ask(self) -> None:
        """Have it done soon; at once where no loop runs."""
        if self._is_asked:
            return
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self._act()
            return
        self._is_asked = True
        loop.call_soon(self._do)

    def _do(self) -> None:
        self._is_asked = False
        self._act()
