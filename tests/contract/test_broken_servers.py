"""The suite itself: a server that breaks one promise is caught, and told in one line."""

import inspect
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from tests.backend.log_client import event
from tests.contract import (
    breaks,
    later_breaks,
    test_calls,
    test_copies,
    test_events,
    test_order,
    test_profiles,
    test_reading,
    test_refusals,
    test_retention,
    test_search,
    test_sessions,
    test_writers,
)
from tests.contract.breaking import Break, broken_server
from tests.contract.conftest import KEEPS
from tests.contract.promises import client_of, line_of, new_key, new_log

ROOT = Path(__file__).parents[2]
SUITE = (
    test_calls,
    test_copies,
    test_events,
    test_order,
    test_profiles,
    test_reading,
    test_refusals,
    test_retention,
    test_search,
    test_sessions,
    test_writers,
)
Proof = Callable[..., None]

WHOLE = {"wrong": event(3, kind="gossip"), "status": 400}
CAUGHT: list[tuple[Break, Proof, dict[str, object]]] = [
    (breaks.forgets_what_it_has(),
     test_events.test_a_repeated_batch_is_stored_once_and_answers_as_the_first_did, {}),
    (breaks.drops_unknown_fields,
     test_events.test_an_event_comes_back_with_every_field_it_was_sent_with, {}),
    (breaks.stores_half_a_batch, test_events.test_a_batch_is_stored_whole_or_not_at_all, WHOLE),
    (breaks.names_no_event, test_events.test_a_batch_is_stored_whole_or_not_at_all, WHOLE),
    (breaks.takes_other_content_for_a_repeat,
     test_events.test_the_same_id_with_other_content_is_refused, {}),
    (breaks.takes_other_content_for_a_repeat,
     test_events.test_one_ordinal_belongs_to_one_event, {}),
    (breaks.acknowledges_over_gaps,
     test_events.test_acknowledged_stops_at_the_first_gap_and_missing_shows_it, {}),
    (breaks.hides_gaps,
     test_events.test_acknowledged_stops_at_the_first_gap_and_missing_shows_it, {}),
    (breaks.counts_events_as_versions,
     test_events.test_version_counts_turns_that_left_something, {}),
    (breaks.counts_events_as_versions,
     test_events.test_version_counts_what_arrives_after_its_turn_had_ended_once, {}),
    (breaks.sorts_by_arrival,
     test_order.test_a_transcript_that_arrives_after_its_reply_stands_before_it, {}),
    (breaks.sorts_by_arrival,
     test_order.test_batches_that_arrive_out_of_order_are_read_in_order, {}),
    (breaks.sorts_by_arrival,
     test_order.test_an_earlier_writers_messages_come_first_whenever_they_arrive, {}),
    (breaks.sorts_by_fence_alone,
     test_order.test_messages_of_an_older_session_come_first_whatever_their_fence, {}),
    (breaks.takes_no_claims,
     test_writers.test_a_free_claimed_fence_stays_even_below_newer_ones, {}),
    (breaks.shares_fences,
     test_writers.test_a_claimed_fence_that_is_used_is_raised_above_the_highest, {}),
    (breaks.believes_clocks, test_writers.test_a_fence_is_above_every_fence_before_it, {}),
    (breaks.answers_repeats_with_an_error,
     test_writers.test_registering_again_answers_the_same, {}),
    (breaks.renews_for("lease_held"),
     test_writers.test_a_newcomer_is_told_that_the_lease_is_held, {}),
    (breaks.calls_every_conflict_one_name,
     test_writers.test_a_newcomer_is_told_that_the_lease_is_held, {}),
    (breaks.renews_for("superseded"),
     test_writers.test_an_older_writer_is_superseded_once_a_newer_one_holds_the_lease, {}),
    (breaks.renews_for("ended"), test_writers.test_an_end_releases_the_lease_at_once, {}),
    (breaks.ends_twice, test_writers.test_the_first_end_wins_and_repeats_answer_200, {}),
    (breaks.takes_known_fields_alone, test_writers.test_an_end_may_say_what_was_used_up, {}),
    (breaks.refuses_the_dead(),
     test_writers.test_late_events_of_an_ended_writer_are_stored_in_their_place, {}),
    (breaks.resolves_anew, test_sessions.test_resolving_a_key_gets_or_creates, {}),
    (breaks.resolves_anew, test_sessions.test_resolves_that_race_find_one_conversation, {}),
    (breaks.clears_without_a_number,
     test_sessions.test_a_clear_advances_the_session_and_stores_its_event, {}),
    (breaks.clears_twice, test_sessions.test_a_repeated_clear_clears_once, {}),
    (breaks.reuses_numbers, test_sessions.test_session_numbers_are_never_shared_or_reused, {}),
    (breaks.files_under_today,
     test_sessions.test_an_event_without_a_number_is_of_the_session_at_its_writers_fence, {}),
    (breaks.files_under_today,
     test_sessions.test_an_event_keeps_its_number_and_a_future_one_is_refused, {}),
    (breaks.keeps_agents_in_the_dark,
     test_sessions.test_answers_tell_a_running_agent_of_a_clear, {}),
    (later_breaks.acknowledges_unseen,
     test_sessions.test_a_clear_says_whether_the_running_agent_has_forgotten, {}),
    (later_breaks.keeps_latecomers_in_the_dark,
     test_sessions.test_a_writer_that_comes_late_is_told_of_a_clear_since_its_fence, {}),
    (later_breaks.exports_by_arrival,
     test_copies.test_an_export_has_every_event_once_in_conversation_order, {}),
    (later_breaks.forks_nothing,
     test_copies.test_a_fork_is_the_newest_session_as_session_0_under_new_ids, {}),
    (later_breaks.forks_to_the_end, test_copies.test_a_fork_up_to_an_event_ends_with_it, {}),
    (later_breaks.forks_into_the_same, test_copies.test_a_fork_goes_its_own_way, {}),
    (later_breaks.forks_again, test_copies.test_a_repeated_fork_makes_one_conversation, {}),
    (breaks.answers(403, instead_of=404), test_copies.test_what_is_unknown_cannot_be_copied, {}),
    (later_breaks.loses_preferences, test_profiles.test_a_profile_is_read_as_it_was_written, {}),
    (later_breaks.takes_every_change,
     test_profiles.test_a_change_of_what_was_not_seen_is_a_412, {}),
    (later_breaks.takes_every_change, test_profiles.test_of_writers_that_race_one_wins, {}),
    (later_breaks.shares_profiles(), test_profiles.test_a_profile_belongs_to_its_tenant, {}),
    (later_breaks.finds_nothing, test_search.test_what_was_stored_is_found_within_five_seconds, {}),
    (later_breaks.finds_any_word, test_search.test_a_hit_has_all_words_whatever_their_case, {}),
    (later_breaks.searches_everywhere,
     test_search.test_only_messages_of_this_conversation_are_found, {}),
    (later_breaks.wants_a_syntax,
     test_search.test_a_search_keeps_its_limit_and_takes_any_words, {}),
    (later_breaks.finds_without_limit,
     test_search.test_a_search_keeps_its_limit_and_takes_any_words, {}),
    (breaks.answers(403, instead_of=404),
     test_search.test_an_unknown_conversation_cannot_be_searched, {}),
    (later_breaks.cannot_call_and_says_nothing,
     test_calls.test_a_call_is_answered_with_what_a_caller_needs_or_with_503, {}),
    (later_breaks.opens_half_a_call,
     test_calls.test_a_call_is_answered_with_what_a_caller_needs_or_with_503, {}),
    (breaks.answers(403, instead_of=404), test_calls.test_what_is_unknown_cannot_be_called, {}),
    (later_breaks.cannot_call_and_looks_at_nothing,
     test_calls.test_a_malformed_call_is_a_400, {}),
    (later_breaks.goes_on_without_a_word,
     test_retention.test_a_cursor_that_was_pruned_is_told_where_to_go_on, {}),
    (breaks.clears_without_a_number,
     test_retention.test_what_is_pruned_keeps_its_numbers_and_its_identity, {}),
    (breaks.answers(403, instead_of=404), test_refusals.test_what_is_unknown_is_a_404, {}),
    (breaks.answers(403, instead_of=404),
     test_refusals.test_another_tenants_conversation_is_unknown, {}),
    (breaks.answers(403, instead_of=401), test_refusals.test_no_valid_token_is_a_401,
     {"token": "nonsense"}),
    (breaks.has_no_limits, test_refusals.test_what_is_too_large_is_a_413_and_stores_nothing, {}),
    (breaks.takes_any_type, test_refusals.test_another_content_type_is_a_415, {}),
    (breaks.loses_a_page, test_reading.test_pages_of_events_meet_without_gap_or_overlap, {}),
    (breaks.lets_the_stream_leak,
     test_reading.test_a_stream_from_a_cursor_has_no_gap_and_no_overlap, {}),
    (breaks.repeats_itself_in_the_stream,
     test_reading.test_a_stream_goes_on_after_last_event_id, {}),
    (breaks.answers(422, instead_of=400),
     test_refusals.test_a_body_that_cannot_be_read_is_a_400, {"raw": b"{"}),
    (breaks.answers(500, instead_of=404), test_refusals.test_what_is_unknown_is_a_404, {}),
    (breaks.says_no_in_plain_json, test_refusals.test_what_is_unknown_is_a_404, {}),
    (breaks.is_busy_without_a_word(),
     test_events.test_an_empty_batch_says_where_the_writer_stands, {}),
]  # fmt: skip


def prove(proof: Proof, url: str, request: pytest.FixtureRequest, given: dict[str, object]) -> None:
    """Run one test of the suite against the server at ``url``."""
    token: str = request.getfixturevalue("token")
    wanted = set(inspect.signature(proof).parameters)
    with (
        client_of(url, token) as http,
        client_of(url, token, tries=1) as caller,
        client_of(url, _foreign(request)) as foreign,
    ):
        have = {"url": url, "token": token, "http": http, "caller": caller, "foreign": foreign}
        have |= {"path": f"/v1/profiles/{new_key()}", "keeps": KEEPS} | given
        if "log" in wanted:
            have["log"] = new_log(http)
        proof(**{name: value for name, value in have.items() if name in wanted})


def _foreign(request: pytest.FixtureRequest) -> str:
    token: str = request.getfixturevalue("foreign").headers["authorization"]
    return token.removeprefix("Bearer ")


@pytest.mark.parametrize(
    ("break_", "proof", "given"),
    CAUGHT,
    ids=[f"{b.__qualname__.split('.')[0]}-{p.__name__}" for b, p, _ in CAUGHT],
)
def test_a_broken_promise_is_caught(
    url: str,
    request: pytest.FixtureRequest,
    break_: Break,
    proof: Proof,
    given: dict[str, object],
) -> None:
    with broken_server(url, breaks.faithful) as faithful:
        prove(proof, faithful, request, given)
    with broken_server(url, break_) as broken, pytest.raises((AssertionError, KeyError)) as caught:
        prove(proof, broken, request, given)
    line = line_of(proof, caught.value)
    assert "\n" not in line
    assert re.search(r"\. Otherwise .+\.$", line)


def proofs(module: ModuleType) -> list[Proof]:
    return [found for name, found in vars(module).items() if name.startswith("test_")]


@pytest.mark.parametrize("module", SUITE, ids=lambda module: module.__name__.rsplit(".")[-1])
def test_every_proof_says_what_is_promised_and_what_is_lost(module: ModuleType) -> None:
    assert [p.__name__ for p in proofs(module)
            if not re.fullmatch(r".+\. Otherwise .+\.", line_of(p))] == []  # fmt: skip


def test_the_suite_from_outside_says_which_promise_is_broken_in_one_line(
    url: str, token: str
) -> None:
    command = [sys.executable, "-m", "pytest", "tests/contract/test_order.py", "-q"]
    command += ["-p", "no:cacheprovider", "--token", token]
    with broken_server(url, breaks.sorts_by_arrival) as broken:
        done = subprocess.run([*command, "--url", broken], cwd=ROOT, capture_output=True,
                              text=True, timeout=60, check=False)  # fmt: skip
    told = [line for line in done.stdout.splitlines() if line.startswith("BROKEN: ")]
    assert done.returncode == 1, done.stdout
    assert "realtime model reads its answers before the questions" in " ".join(told)
    assert len(told) == 5
    with broken_server(url, breaks.answers(422, instead_of=404)) as broken:
        done = subprocess.run([*command, "--url", broken], cwd=ROOT, capture_output=True,
                              text=True, timeout=60, check=False)  # fmt: skip
    told = [line for line in done.stdout.splitlines() if line.startswith("BROKEN: ")]
    assert told == [f"BROKEN: {PROBLEM_422}"]


PROBLEM_422 = (
    "What is malformed is answered with 400, never with 422."
    " Otherwise a refusal has two names, and a client that knows one misses the other."
)
