"""The client of schedules: jobs that start when a clock says so."""

from bureau.http import Caller, segment
from bureau_contracts.jobs import JobStarted
from bureau_contracts.schedules import ChangeSchedule, NewSchedule, Schedule, ScheduleDeleted, SchedulePage


class SchedulesClient:
    def __init__(self, caller: Caller) -> None:
        self._call = caller.call

    async def add(self, schedule: NewSchedule) -> Schedule:
        return await self._call(Schedule, "POST", "/jobs/schedules", body=schedule)

    async def get(self, schedule_id: str) -> Schedule:
        return await self._call(Schedule, "GET", _path(schedule_id))

    async def page(
        self, *, user_id: str | None = None, limit: int | None = None, cursor: str | None = None
    ) -> SchedulePage:
        params = {"user_id": user_id, "limit": limit, "cursor": cursor}
        return await self._call(SchedulePage, "GET", "/jobs/schedules", params=params)

    async def change(self, schedule_id: str, change: ChangeSchedule) -> Schedule:
        return await self._call(Schedule, "PATCH", _path(schedule_id), body=change)

    async def pause(self, schedule_id: str) -> Schedule:
        """It fires no more; ticks that pass meanwhile are not made up for."""
        return await self.change(schedule_id, ChangeSchedule(enabled=False))

    async def resume(self, schedule_id: str) -> Schedule:
        return await self.change(schedule_id, ChangeSchedule(enabled=True))

    async def run(self, schedule_id: str, *, idempotency_key: str | None = None) -> JobStarted:
        """Starts its job now. With an idempotency key the call may be repeated: it then gives the same job."""
        headers = {"idempotency-key": idempotency_key} if idempotency_key else {}
        repeatable = idempotency_key is not None
        return await self._call(JobStarted, "POST", f"{_path(schedule_id)}/run", headers=headers, repeatable=repeatable)

    async def delete(self, schedule_id: str) -> ScheduleDeleted:
        """Its jobs stay."""
        return await self._call(ScheduleDeleted, "DELETE", _path(schedule_id))


def _path(schedule_id: str) -> str:
    return f"/jobs/schedules/{segment(schedule_id)}"
