"""What RuleLLM answers: one table of intents. Pure: the conversation in, a reply out.

This is no language model and says so when it has no rule. It remembers nothing itself: "what is my
name?" is answered from the conversation it is given, so it knows after a restart exactly what the
stored history says.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass

TIME_TOOL = "current_time"
SEARCH_TOOL = "search_conversation"
CLEAR_TOOL = "clear_conversation"


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialogue:
    """What was said, oldest first: ``said`` by people before ``now``, ``replied`` by the agent."""

    now: str
    said: tuple[str, ...] = ()
    replied: tuple[str, ...] = ()
    tools: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolWanted:
    """The reply needs a tool first."""

    name: str
    arguments: str  # JSON


Reply = str | ToolWanted
Answer = Callable[[Dialogue, re.Match[str]], Reply]

# "…" and pauses come out of recognition as full stops: "My name is. Grace Hopper."
_NAME = re.compile(
    r"\bmy name(?:'s|’s| is)\W+(?P<name>[^\W\d_][\w'’.-]*(?: (?!and\b)[^\W\d_][\w'’-]*){0,3})", re.I
)
_HOME = re.compile(r"\bI(?:'m| am)? (?:live|living) in\W+(?P<city>[^\W\d_][\w'’ -]*)", re.I)
NUMBERS = (
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
    "twenty",
)
_STORY = (
    "Here is a story. A sailor kept a small lamp burning on the end of a pier. Every night the"
    " wind blew it out, and every night she lit it again. One winter a ship lost its way in the"
    " fog, and the captain saw the lamp. He steered for it, and all his people came home."
    " When they asked her why she had kept it, she said that somebody always comes back."
)
_ABILITIES = (
    "I can greet you, tell you the time, remember your name and where you live, repeat what you"
    " or I said, count, and tell a story. I follow a few rules. I am not a language model."
)


def _capitalised(words: str) -> str:
    return " ".join(word[:1].upper() + word[1:] for word in words.strip(" .,'’-").split())


def _latest(pattern: re.Pattern[str], group: str, said: tuple[str, ...]) -> str | None:
    for text in reversed(said):
        if found := pattern.search(text):
            return _capitalised(found[group])
    return None


def _named(dialogue: Dialogue) -> str | None:
    return _latest(_NAME, "name", (*dialogue.said, dialogue.now))


def _your_name(dialogue: Dialogue, _: re.Match[str]) -> str:
    name = _named(dialogue)
    return f"Your name is {name}." if name else "You have not told me your name yet."


def _your_home(dialogue: Dialogue, _: re.Match[str]) -> str:
    city = _latest(_HOME, "city", (*dialogue.said, dialogue.now))
    return f"You live in {city}." if city else "You have not told me where you live yet."


def _you_said(dialogue: Dialogue, found: re.Match[str]) -> str:
    if not dialogue.said:
        return "You have not said anything before that."
    if found["first"]:
        return f"The first thing you said was: {_quoted(dialogue.said[0])}"
    return f"You said: {_quoted(dialogue.said[-1])}"


def _you_said_about(dialogue: Dialogue, found: re.Match[str]) -> Reply:
    """From what it is shown, else from the whole conversation."""
    words = found["words"].strip(" .,!?'’-")
    wanted = words.lower().split()
    for text in reversed(dialogue.said):
        if all(word in text.lower() for word in wanted):
            return f"You said: {_quoted(text)}"
    if SEARCH_TOOL in dialogue.tools:
        return ToolWanted(name=SEARCH_TOOL, arguments=json.dumps({"words": words, "limit": 1}))
    return f"I do not remember that you said anything about {words}."


def _forget(dialogue: Dialogue, _: re.Match[str]) -> Reply:
    if CLEAR_TOOL not in dialogue.tools:
        return "I cannot forget: nobody gave me a way to."
    return ToolWanted(name=CLEAR_TOOL, arguments="{}")


def _again(dialogue: Dialogue, _: re.Match[str]) -> str:
    return dialogue.replied[-1] if dialogue.replied else "I have not said anything yet."


def _time(dialogue: Dialogue, found: re.Match[str]) -> Reply:
    if TIME_TOOL not in dialogue.tools:
        return "I cannot tell the time here: I was not given a clock."
    city = _capitalised(found["city"]) if found["city"] else None
    return ToolWanted(name=TIME_TOOL, arguments=json.dumps({"city": city}))


def _introduced(dialogue: Dialogue, found: re.Match[str]) -> str:
    home = _HOME.search(dialogue.now)
    also = f" I will remember that you live in {_capitalised(home['city'])}." if home else ""
    return f"Nice to meet you, {_capitalised(found['name'])}.{also}"


def _lives(_: Dialogue, found: re.Match[str]) -> str:
    return f"Thank you. I will remember that you live in {_capitalised(found['city'])}."


def _count(_: Dialogue, found: re.Match[str]) -> str:
    wanted = found["limit"].lower()
    limit = int(wanted) if wanted.isdigit() else NUMBERS.index(wanted) + 1
    counted = ", ".join(NUMBERS[: max(1, min(limit, len(NUMBERS)))])
    return f"{counted.capitalize()}."


def _greeted(dialogue: Dialogue, _: re.Match[str]) -> str:
    name = _named(dialogue)
    return f"Hello {name}. How can I help you?" if name else "Hello. How can I help you?"


def _text(words: str) -> Answer:
    return lambda _dialogue, _found: words


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One intent: the first rule whose pattern is found in what was said gives the reply."""

    intent: str
    pattern: re.Pattern[str]
    answer: Answer


def _rule(intent: str, pattern: str | re.Pattern[str], answer: Answer) -> Rule:
    if isinstance(pattern, str):
        pattern = re.compile(pattern, re.I)
    return Rule(intent=intent, pattern=pattern, answer=answer)


# Questions first, then what people tell us, greetings last: "Hello, who are you?" is a question.
RULES = (
    _rule(
        "time",
        r"\b(?:what(?:'s|’s| is)? (?:the )?time|what time)\b(?:.*?\bin\W+(?P<city>[\w' -]+))?",
        _time,
    ),
    _rule("your name", r"\bwhat(?:'s|’s| is| was) my name\b|\bwho am I\b", _your_name),
    _rule("your home", r"\bwhere (?:do|did) I live\b", _your_home),
    _rule(
        "you said about",
        r"\bwhat (?:did|have) I (?:say|said|tell you|told you) about\W+(?P<words>[\w' -]+)",
        _you_said_about,
    ),
    _rule("you said", r"\bwhat (?:did|have) I (?P<first>first )?sa(?:y|id)\b", _you_said),
    _rule(
        "forget",
        r"(?<!n['’]t )(?<!not )(?<!never )\b(?:forget|clear) (?:everything|our conversation)\b",
        _forget,
    ),
    _rule("again", r"\brepeat that\b|\bsay that again\b|\bwhat did you say\b", _again),
    _rule("abilities", r"\bwhat (?:can you|you can) do\b|\bhelp\b", _text(_ABILITIES)),
    _rule(
        "who are you",
        r"\b(?:who are you|what are you|what(?:'s|’s| is) your name)\b",
        _text("I am Throughline, a voice agent. I follow a few rules, I am not a language model."),
    ),
    _rule("story", r"\b(?:tell|read) (?:me|us) (?:a|another) (?:long )?story\b", _text(_STORY)),
    _rule("count", rf"\bcount(?: up)? to (?P<limit>\d{{1,3}}|{'|'.join(NUMBERS)})\b", _count),
    _rule("name", _NAME, _introduced),
    _rule("home", _HOME, _lives),
    _rule("stop", r"^\W*(?:please )?(?:wait|stop|be quiet)\b", _text("All right.")),
    _rule(
        "goodbye", r"\b(?:good ?bye|bye|see you)\b", _text("Goodbye. It was nice talking to you.")
    ),
    _rule("thanks", r"\bthank(?:s| you)\b", _text("You are welcome.")),
    _rule("hello", r"\b(?:hello|hi|hey|good (?:morning|afternoon|evening))\b", _greeted),
)


def reply(dialogue: Dialogue) -> Reply:
    """Answer ``dialogue.now`` by the first rule that fits; say so plainly when none does."""
    for rule in RULES:
        if found := rule.pattern.search(dialogue.now):
            return rule.answer(dialogue, found)
    return f"I heard: {_quoted(dialogue.now)} I have no rule for that. Ask me what I can do."


def after_tool(output: str, *, is_error: bool) -> str:
    """Say what a tool answered."""
    words = output.strip()
    if is_error or not words:
        return "I could not find that out."
    words = words.replace(" the caller said:", " you said:").replace(" the agent said:", " I said:")
    return f"It is {words.rstrip('.')}." if words[0].isdigit() else words


def instructed(instructions: str, dialogue: Dialogue) -> str | None:
    """Do what the program (not a person) asks for; None when this is no such order.

    Understood at the start of the text: ``Say exactly: WORDS``, ``Greet ...``, ``Resume ...``,
    ``Say goodbye ...``. Anything else, such as facts that were looked up for the reply, is None.
    """
    if exact := re.match(r"\s*say exactly:\s*(?P<words>.+)", instructions, re.I | re.S):
        return exact["words"].strip().strip('"')
    order = instructions.strip().lower()
    if order.startswith("greet"):
        return "Hello, I am Throughline. How can I help you?"
    if order.startswith("say goodbye"):
        return "Goodbye."
    if order.startswith("resume"):
        name = _named(dialogue)
        last = dialogue.now or (dialogue.said[-1] if dialogue.said else "")
        back = f"I am back, {name}." if name else "I am back."
        return f"{back} The last thing I heard was: {_quoted(last)}" if last else back
    return None


def _quoted(words: str) -> str:
    words = words.strip()
    return f'"{words}"' if words[-1:] in ".?!" else f'"{words}."'
