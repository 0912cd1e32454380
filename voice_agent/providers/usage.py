"""What a model's report means in the log's words. Reports that bill nothing are left out.

``session_usage_updated``, which livekit-agents recommends, counts no requests and adds up over the
session; ``metrics_collected`` announces each report by itself (docs/livekit-agents.md).
"""

from livekit.agents import metrics as lk
from livekit.agents.llm import CompletionUsage
from livekit.agents.metrics.base import Metadata

from voice_agent.domain.usage import Usage

UNNAMED = "unknown"
NAME_MAX = 256


def usage_of(report: lk.AgentMetrics) -> Usage | None:
    """Return what a report says was used up; None: it is about something else."""
    match report:
        case lk.LLMMetrics():
            return _usage("llm", report, llm_counts(report))
        case lk.RealtimeModelMetrics():
            return _usage("realtime", report, _of_realtime(report))
        case lk.STTMetrics():
            return _usage("stt", report, _of_stt(report))
        case lk.TTSMetrics():
            return _usage("tts", report, _of_tts(report))
        case lk.EOTInferenceMetrics():
            return _usage("turn_detection", report, {"requests": report.num_requests})
        case lk.InterruptionMetrics():
            return _usage("interruption", report, {"requests": report.num_requests})
        case _:
            return None


Billed = (
    lk.LLMMetrics
    | lk.RealtimeModelMetrics
    | lk.STTMetrics
    | lk.TTSMetrics
    | lk.EOTInferenceMetrics
    | lk.InterruptionMetrics
)


def _usage(service: str, report: Billed, counts: dict[str, float]) -> Usage | None:
    named = report.metadata or Metadata()
    return named_usage(service, named.model_provider, named.model_name, counts)


def named_usage(
    service: str, provider: str | None, model: str | None, counts: dict[str, float]
) -> Usage | None:
    """Return what a model used up; None: nothing."""
    if not any(counts.values()):
        return None
    return Usage(
        service=service,
        provider=_name(provider),
        model=_name(model),
        counts={name: value for name, value in counts.items() if value},
    )


def _name(given: str | None) -> str:
    """Return a name that every backend takes (docs/events.md)."""
    return (given or UNNAMED).replace("\0", "")[:NAME_MAX] or UNNAMED


def llm_counts(report: lk.LLMMetrics | CompletionUsage) -> dict[str, float]:
    """Return what one request took, a cancelled one too: what it had generated is billed."""
    return {
        "requests": 1,
        "input_tokens": report.prompt_tokens,
        "input_cached_tokens": report.prompt_cached_tokens,
        "input_cache_creation_tokens": report.cache_creation_tokens,
        "output_tokens": report.completion_tokens,
        "output_reasoning_tokens": report.reasoning_tokens,
    }


def _of_realtime(report: lk.RealtimeModelMetrics) -> dict[str, float]:
    """One without a request says how a connection was made, or how long it has been open."""
    read, said = report.input_token_details, report.output_token_details
    cached = read.cached_tokens_details or lk.RealtimeModelMetrics.CachedTokenDetails()
    return {
        "requests": 1 if report.request_id else 0,
        "input_tokens": report.input_tokens,
        "input_text_tokens": read.text_tokens,
        "input_audio_tokens": read.audio_tokens,
        "input_image_tokens": read.image_tokens,
        "input_cached_tokens": read.cached_tokens,
        "input_cached_text_tokens": cached.text_tokens,
        "input_cached_audio_tokens": cached.audio_tokens,
        "input_cached_image_tokens": cached.image_tokens,
        "output_tokens": report.output_tokens,
        "output_text_tokens": said.text_tokens,
        "output_audio_tokens": said.audio_tokens,
        "session_s": report.session_duration,
    }


def _of_stt(report: lk.STTMetrics) -> dict[str, float]:
    counts = {
        "input_tokens": report.input_tokens,
        "input_audio_tokens": report.input_audio_tokens,
        "output_tokens": report.output_tokens,
        "audio_s": report.audio_duration,
    }
    return {"requests": 1 if any(counts.values()) else 0, **counts}


def _of_tts(report: lk.TTSMetrics) -> dict[str, float]:
    return {
        "requests": 1,
        "characters": report.characters_count,
        "input_tokens": report.input_tokens,
        "output_tokens": report.output_tokens,
        "audio_s": report.audio_duration,
    }
