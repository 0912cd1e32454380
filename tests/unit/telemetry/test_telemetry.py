"""Figures arrive from job processes; personal content stays out of logs (CONTRIBUTING.md)."""

import logging
import multiprocessing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from voice_agent.domain.events import ErrorReported, Event, TurnEnded
from voice_agent.domain.ids import EventId
from voice_agent.telemetry.logs import PersonalContent
from voice_agent.telemetry.metrics import JobMetrics, WorkerMetrics
from voice_agent.telemetry.observer import MetricsObserver


def job(path: Path) -> None:
    metrics = JobMetrics(path)
    metrics.observe("voice_calls_ended", "caller_left")
    metrics.observe("voice_turn_delay_seconds", "e2e", value=0.5)
    metrics.close()


def test_figures_of_several_processes_add_up_and_survive_them(tmp_path: Path) -> None:
    path = tmp_path / "metrics.sock"
    registry = CollectorRegistry()
    worker = WorkerMetrics(path, registry)
    spawn = multiprocessing.get_context("spawn")
    processes = [spawn.Process(target=job, args=(path,)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(20)
    worker.receive()
    worker.close()
    text = generate_latest(registry).decode()
    assert 'voice_calls_ended_total{reason="caller_left"} 3.0' in text
    assert 'voice_turn_delay_seconds_count{stage="e2e"} 3.0' in text


def test_garbage_and_unknown_series_are_dropped(tmp_path: Path) -> None:
    path = tmp_path / "metrics.sock"
    registry = CollectorRegistry()
    worker = WorkerMetrics(path, registry)
    sender = JobMetrics(path)
    sender.observe("no_such_series", "x")
    sender.observe("voice_turns", "too", "many", "labels")
    sender.observe("voice_turns", "completed")
    worker.receive()
    sender.close()
    worker.close()
    assert 'voice_turns_total{outcome="completed"} 1.0' in generate_latest(registry).decode()


def test_without_a_worker_a_figure_is_lost_and_nothing_else(tmp_path: Path) -> None:
    metrics = JobMetrics(tmp_path / "nobody.sock")
    metrics.observe("voice_turns", "completed")
    metrics.close()


def test_a_turn_counts_with_its_delays_and_an_error_with_its_source(tmp_path: Path) -> None:
    path = tmp_path / "metrics.sock"
    registry = CollectorRegistry()
    worker = WorkerMetrics(path, registry)
    sender = JobMetrics(path)
    observer = MetricsObserver(sender)
    at = datetime(2026, 1, 1, tzinfo=UTC)
    ended = TurnEnded(outcome="completed", delays={"llm_ttft_s": 0.2})
    failed = ErrorReported(source="LLM", error_type="X", recoverable=False)
    observer.recorded(Event(event_id=EventId("a"), ordinal=1, at=at, body=ended))
    observer.recorded(Event(event_id=EventId("b"), ordinal=2, at=at, body=failed))
    observer.degraded("backend", on=True)
    observer.degraded("backend", on=False)
    observer.hydrated("backend", 0.01)
    worker.receive()
    sender.close()
    worker.close()
    text = generate_latest(registry).decode()
    assert 'voice_turn_delay_seconds_sum{stage="llm_ttft"} 0.2' in text
    assert 'voice_errors_total{recoverable="false",source="LLM"} 1.0' in text
    assert 'voice_degraded_total{layer="backend"} 1.0' in text
    assert 'voice_hydrate_seconds_count{source="backend"} 1.0' in text


@pytest.mark.parametrize("name", ["livekit.agents", "voice_agent.room.job"])
def test_personal_fields_are_taken_off_every_record(name: str) -> None:
    record = logging.LogRecord(name, logging.INFO, "f", 1, "m", (), None)
    record.__dict__.update({"room": "ada's room", "pii.text": "secret", "job_id": "AJ_1"})
    assert PersonalContent(keep=False).filter(record)
    assert "room" not in record.__dict__
    assert "pii.text" not in record.__dict__
    assert record.__dict__["job_id"] == "AJ_1"


def test_personal_fields_stay_where_they_are_wanted() -> None:
    record = logging.LogRecord("x", logging.INFO, "f", 1, "m", (), None)
    record.__dict__["pii.text"] = "wanted"
    PersonalContent(keep=True).filter(record)
    assert record.__dict__["pii.text"] == "wanted"
