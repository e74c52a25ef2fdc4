"""Turns at the slicers: what is needed soonest comes first, and none is ever lost."""

import asyncio
from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from agent.workflow.turns import LAST, Turns

NOW = datetime(2026, 11, 27, tzinfo=UTC)


async def works(turns: Turns, name: str, before: datetime, log: list[str], ends: asyncio.Event) -> None:
    async with turns.turn(name, before):
        log.append(name)
        await ends.wait()


async def settled() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_the_soonest_comes_first_and_what_nobody_waits_for_comes_last() -> None:
    turns, log, ends = Turns(1), list[str](), asyncio.Event()
    befores = {"first": LAST, "order": LAST, "late": NOW + timedelta(minutes=9), "soon": NOW, "another order": LAST}
    tasks = []
    for name, before in befores.items():
        tasks.append(asyncio.create_task(works(turns, name, before, log, ends)))
        await settled()
    ends.set()
    await asyncio.gather(*tasks)
    assert log == ["first", "soon", "late", "order", "another order"]


async def test_the_same_work_is_waited_for_and_one_that_is_given_up_is_taken_over() -> None:
    turns, log, never, ends = Turns(2), list[str](), asyncio.Event(), asyncio.Event()
    first = asyncio.create_task(works(turns, "cube", NOW, log, never))
    await settled()
    second = asyncio.create_task(works(turns, "cube", NOW, log, ends))
    await settled()
    assert log == ["cube"]
    first.cancel()
    await settled()
    assert log == ["cube", "cube"]
    ends.set()
    await second


@settings(max_examples=60, deadline=None)
@given(workers=st.integers(1, 3), steps=st.lists(st.tuples(st.sampled_from(["come", "go", "end"]), st.integers(0, 9)), max_size=40))
def test_whoever_gives_up_at_whatever_moment_no_turn_is_lost(workers: int, steps: list[tuple[str, int]]) -> None:
    asyncio.run(_lived(workers, steps))


async def _lived(workers: int, steps: list[tuple[str, int]]) -> None:
    turns, tasks, ends = Turns(workers), list[asyncio.Task[None]](), list[asyncio.Event]()
    for n, (what, which) in enumerate(steps):
        if what == "come":
            ends.append(asyncio.Event())
            tasks.append(asyncio.create_task(works(turns, str(n), NOW + timedelta(minutes=which), [], ends[-1])))
        elif tasks and what == "go":
            tasks[which % len(tasks)].cancel()
        elif tasks:
            ends[which % len(tasks)].set()
        await asyncio.sleep(0)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    log: list[str] = []
    free = [asyncio.create_task(works(turns, f"after {n}", NOW, log, asyncio.Event())) for n in range(workers)]
    await settled()
    assert len(log) == workers, "as many work at once as before"
    for task in free:
        task.cancel()
    await asyncio.gather(*free, return_exceptions=True)
