"""The one error of the developer's tools: what happened, and what to do about it."""


class DevError(Exception):
    """Something a person must act on. ``details`` are lines of a log, shown below the sentence."""

    def __init__(self, sentence: str, *, details: str = "", code: int = 1) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.details = details
        self.code = code
