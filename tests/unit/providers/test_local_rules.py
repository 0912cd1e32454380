"""What the rule table answers, from the conversation it is given."""

from __future__ import annotations

import json

import pytest

from voice_agent.providers.local import rules
from voice_agent.providers.local.rules import Dialogue, ToolWanted

CLOCK = frozenset({"current_time"})


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("Hello.", "Hello. How can I help you?"),
        ("Hello, who are you?", "I am Throughline"),
        ("Tell me what you can do.", "I can greet you"),
        ("My name is Ada Lovelace.", "Nice to meet you, Ada Lovelace."),
        ("my name's ada lovelace", "Nice to meet you, Ada Lovelace."),
        ("My name is. Grace Hopper.", "Nice to meet you, Grace Hopper."),
        ("My name is... Grace Hopper.", "Nice to meet you, Grace Hopper."),
        ("My name is Ada and I live in Lisbon.", "remember that you live in Lisbon."),
        ("I live in Lisbon.", "remember that you live in Lisbon."),
        ("I'm living in new york", "remember that you live in New York."),
        ("Thank you.", "You are welcome."),
        ("Thank you, goodbye.", "Goodbye."),
        ("Count to three.", "One, two, three."),
        ("Count to 5", "One, two, three, four, five."),
        ("Tell me a story.", "Here is a story."),
        ("Please stop now.", "All right."),
        ("What is my name?", "You have not told me your name yet."),
        ("Where do I live?", "You have not told me where you live yet."),
        ("What did I say?", "You have not said anything before that."),
        ("Please say that again.", "I have not said anything yet."),
    ],
)
def test_each_intent_is_answered(said: str, expected: str) -> None:
    answer = rules.reply(Dialogue(now=said))
    assert isinstance(answer, str)
    assert expected in answer


@pytest.mark.parametrize("said", ["The garden is green.", "Xyzzy", "I am happy today"])
def test_what_has_no_rule_is_said_so_and_echoed_word_for_word(said: str) -> None:
    answer = rules.reply(Dialogue(now=said))
    assert isinstance(answer, str)
    assert answer.startswith(f'I heard: "{said.rstrip(".")}')
    assert "no rule" in answer


def test_memory_is_the_conversation_and_the_newest_word_counts() -> None:
    said = ("My name is Ada.", "I live in Lisbon.", "No, my name's Grace", "Hello again.")
    name = rules.reply(Dialogue(now="what's my name", said=said))
    home = rules.reply(Dialogue(now="Where did I live?", said=said))
    before = rules.reply(Dialogue(now="What did I say?", said=said))
    first = rules.reply(Dialogue(now="What did I first say?", said=said))
    assert name == "Your name is Grace."
    assert home == "You live in Lisbon."
    assert before == 'You said: "Hello again."'
    assert first == 'The first thing you said was: "My name is Ada."'


def test_a_reply_is_repeated() -> None:
    assert rules.reply(Dialogue(now="Repeat that please", replied=("One.", "Two."))) == "Two."


@pytest.mark.parametrize(
    ("said", "city"),
    [
        ("What time is it?", None),
        ("What's the time", None),
        ("What time is it in Tokyo?", "Tokyo"),
        ("What time is it? In Paris.", "Paris"),
        ("Please tell me what time it is in new york.", "New York"),
    ],
)
def test_the_time_is_asked_of_the_tool(said: str, city: str | None) -> None:
    wanted = rules.reply(Dialogue(now=said, tools=CLOCK))
    assert isinstance(wanted, ToolWanted)
    assert wanted.name == "current_time"
    assert json.loads(wanted.arguments) == {"city": city}


def test_without_the_tool_the_time_is_refused_plainly() -> None:
    answer = rules.reply(Dialogue(now="What time is it?", tools=frozenset({"other"})))
    assert answer == "I cannot tell the time here: I was not given a clock."


@pytest.mark.parametrize(
    ("output", "is_error", "expected"),
    [
        ("It is five past ten.", False, "It is five past ten."),
        ("10:05", False, "It is 10:05."),
        ("boom", True, "I could not find that out."),
        ("", False, "I could not find that out."),
    ],
)
def test_a_tool_answer_is_said(output: str, is_error: bool, expected: str) -> None:
    assert rules.after_tool(output, is_error=is_error) == expected


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        ("Greet the caller.", "Hello, I am Throughline. How can I help you?"),
        ("Say goodbye, the call ends.", "Goodbye."),
        ("Say exactly: the line is bad.", "the line is bad."),
        ('Say exactly: "One moment."', "One moment."),
        ("Resume the call.", 'I am back, Ada. The last thing I heard was: "I like tea."'),
        ("The caller's plan is Gold.", None),
    ],
)
def test_orders_of_the_program_are_followed_and_facts_are_not_orders(
    order: str, expected: str | None
) -> None:
    dialogue = Dialogue(now="", said=("My name is Ada.", "I like tea."))
    assert rules.instructed(order, dialogue) == expected
