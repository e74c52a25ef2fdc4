"""[schedule]: from what an operator writes to what the planner goes by."""

from datetime import time
from typing import Any

import pytest
from pydantic import ValidationError

from agent.config.schedule import ScheduleSettings
from agent.domain.attended import Attended
from agent.workflow.scheduling import Schedule


def test_nothing_written_is_somebody_always_there_and_four_hours_for_hands() -> None:
    schedule = ScheduleSettings().value()
    assert (schedule.attended.always, schedule.finish_unattended, schedule.handling_s) == (True, False, 4 * 3600)


def test_what_is_written_is_what_is_planned_by() -> None:
    written = ScheduleSettings.model_validate(
        {
            "attended": ["07:30-12:00", "18:00-24:00"],
            "days_off": ["sun", "wed"],
            "finish_unattended": True,
            "handling_h": 1.5,
            "clear_bed_min": 2,
            "change_material_min": 3,
        }
    )
    attended = Attended([(time(7, 30), time(12)), (time(18), time.max)], frozenset({2, 6}))
    assert written.value() == Schedule(attended, finish_unattended=True, handling_s=5400, clear_bed_s=120, change_material_s=180)


@pytest.mark.parametrize(
    "wrong",
    [
        {"attended": ["9-17"]},
        {"attended": ["09:00-09:00"]},
        {"days_off": ["sunday"]},
        {"days_off": ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]},
        {"handling_h": -1},
        {"color_limit": 101},
        {"overnight": True},
    ],
)
def test_what_makes_no_schedule_is_a_mistake(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ScheduleSettings.model_validate(wrong)
