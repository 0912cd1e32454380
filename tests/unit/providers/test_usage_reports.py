"""What a report of livekit-agents means in the log's words."""

import pytest
from livekit.agents import metrics as lk
from livekit.agents.metrics.base import Metadata

from backend.rules.usage import read
from voice_agent.providers.usage import NAME_MAX, usage_of


def tts(**fields: object) -> lk.TTSMetrics:
    made: dict[str, object] = {
        "label": "t", "request_id": "r", "timestamp": 0.0, "ttfb": 0.1, "duration": 1.0,
        "audio_duration": 2.5, "cancelled": True, "characters_count": 12, "streamed": True,
    }  # fmt: skip
    return lk.TTSMetrics.model_validate(made | fields)


def stt(**fields: object) -> lk.STTMetrics:
    made: dict[str, object] = {
        "label": "s", "request_id": "", "timestamp": 0.0, "duration": 0.0, "audio_duration": 0.0,
        "streamed": True,
    }  # fmt: skip
    return lk.STTMetrics.model_validate(made | fields)


def test_a_cancelled_request_counts() -> None:
    usage = usage_of(tts(metadata=Metadata(model_name="joe", model_provider="local")))
    assert usage is not None
    assert (usage.service, usage.provider, usage.model) == ("tts", "local", "joe")
    assert usage.counts == {"requests": 1, "characters": 12, "audio_s": 2.5}


@pytest.mark.parametrize(
    "report",
    [
        stt(acquire_time=0.3),
        lk.VADMetrics(
            label="v", timestamp=0.0, idle_time=1.0, inference_duration_total=0.1, inference_count=9
        ),
        lk.EOUMetrics(
            timestamp=0.0,
            end_of_utterance_delay=0.1,
            transcription_delay=0.1,
            on_user_turn_completed_delay=0.0,
        ),
        lk.RealtimeModelMetrics(
            request_id="",
            timestamp=0.0,
            acquire_time=0.3,
            input_token_details=lk.RealtimeModelMetrics.InputTokenDetails(),
            output_token_details=lk.RealtimeModelMetrics.OutputTokenDetails(),
        ),
    ],
    ids=lambda report: report.type,
)
def test_what_bills_nothing_is_left_out(report: lk.AgentMetrics) -> None:
    """A connection was made, somebody was heard, a turn was judged here."""
    assert usage_of(report) is None


def test_a_turn_detector_that_is_asked_elsewhere_counts_its_requests() -> None:
    report = lk.EOTInferenceMetrics(
        timestamp=0.0, total_duration=0.1, detection_delay=0.1, prediction_duration=0.1,
        num_requests=3, metadata=Metadata(model_name="turn-detector-v1", model_provider="livekit"),
    )  # fmt: skip
    usage = usage_of(report)
    assert usage is not None
    assert (usage.service, dict(usage.counts)) == ("turn_detection", {"requests": 3})


@pytest.mark.parametrize("name", [None, "", "\0", "a\0b", "x" * 1000])
def test_whatever_a_plugin_calls_itself_the_backend_takes_it(name: str | None) -> None:
    usage = usage_of(tts(metadata=Metadata(model_name=name, model_provider=name)))
    assert usage is not None
    assert 1 <= len(usage.model) <= NAME_MAX
    told = {
        "service": usage.service, "provider": usage.provider, "model": usage.model,
        "counts": dict(usage.counts),
    }  # fmt: skip
    assert len(read([told])) == 1
