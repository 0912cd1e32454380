"""Work is done once for many who ask."""

import asyncio

from voice_agent.aio.soon import Soon


async def test_it_is_done_once_for_all_who_ask_before_the_loop_comes_round() -> None:
    done: list[int] = []
    soon = Soon(lambda: done.append(1))
    for _ in range(3):
        soon.ask()
    assert done == []
    await asyncio.sleep(0)
    assert done == [1]
    soon.ask()
    await asyncio.sleep(0)
    assert done == [1, 1]


def test_without_a_loop_it_is_done_at_once() -> None:
    done: list[int] = []
    Soon(lambda: done.append(1)).ask()
    assert done == [1]


async def test_who_asks_while_it_is_done_has_it_done_again() -> None:
    done: list[int] = []

    def act() -> None:
        done.append(1)
        if len(done) == 1:
            soon.ask()

    soon = Soon(act)
    soon.ask()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert done == [1, 1]
