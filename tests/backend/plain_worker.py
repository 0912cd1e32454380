"""A worker as anyone could write it: joins the rooms it is sent to, and stays. No lease."""

import asyncio

from livekit.agents import AgentServer, JobContext, JobExecutorType

server = AgentServer(
    job_executor_type=JobExecutorType.THREAD,
    load_fnc=lambda: 0.0,
    num_idle_processes=1,
    host="127.0.0.1",
    port=0,
)


@server.rtc_session(agent_name="throughline")
async def stay(ctx: JobContext) -> None:
    """Join."""
    await ctx.connect()


if __name__ == "__main__":
    asyncio.run(server.run(devmode=True))
