"""Days and months of accounts: UTC, as ISO texts that sort by time. Pure."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta


def day_of(ms: int) -> str:
    """``YYYY-MM-DD``."""
    return _moment(ms).date().isoformat()


def month_begins(ms: int) -> str:
    """The first day of the month."""
    return _moment(ms).date().replace(day=1).isoformat()


def week_begins(ms: int) -> str:
    """The Monday of the week."""
    today = _moment(ms).date()
    return (today - timedelta(days=today.weekday())).isoformat()


def ms_to_next_day(ms: int) -> int:
    """Milliseconds until the next day begins."""
    return _starts_ms(_moment(ms).date() + timedelta(days=1)) - ms


def ms_to_next_month(ms: int) -> int:
    """Milliseconds until the next month begins."""
    first = _moment(ms).date().replace(day=1)
    return _starts_ms((first + timedelta(days=32)).replace(day=1)) - ms


def _starts_ms(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * 1000


def _moment(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)
