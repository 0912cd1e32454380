"""The program of a worker to compare with; BENCHMARK_WORKER names which (see ``jobs``)."""

import os

from livekit.agents import AgentServer

from benchmarks.workers import jobs

if __name__ != "__mp_main__":  # a job process imports this file too, and needs no server
    kind = os.environ[jobs.WORKER]
    server = AgentServer(load_fnc=lambda: 0.0, num_idle_processes=2, host="127.0.0.1", port=0)
    server.rtc_session(getattr(jobs, kind), agent_name=kind)
