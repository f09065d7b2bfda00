"""What is asked of each provider: its reports, the days in them, and how a key is shown to it.

Sources, as of 2026-11: OpenAI's API reference (organization/costs, organization/usage/completions), Anthropic's Admin
API (usage_report/messages, cost_report; called legacy and still served), OpenRouter's API reference (activity).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time

Query = list[tuple[str, str]]


@dataclass(frozen=True)
class Report:
    """`name` is the format that reads its pages. `query` takes the first day and the day after the last, in UTC."""

    name: str
    label: str
    path: str
    query: Callable[[date, date], Query]


@dataclass(frozen=True)
class Api:
    """`headers` show the key; `needs` says which key it takes, in words; `keeps` how far back it answers."""

    headers: Callable[[str], Mapping[str, str]]
    needs: str
    keeps: str
    reports: tuple[Report, ...]

    def report(self, name: str) -> Report:
        return next(report for report in self.reports if report.name == name)


def _unix(day: date) -> str:
    return str(int(datetime.combine(day, time(), UTC).timestamp()))


def _openai(most_days: int, *groups: str) -> Callable[[date, date], Query]:
    def query(first: date, end: date) -> Query:
        days = [("start_time", _unix(first)), ("end_time", _unix(end)), ("bucket_width", "1d")]
        return [*days, ("limit", str(most_days)), *(("group_by", group) for group in groups)]

    return query


def _anthropic(*groups: str) -> Callable[[date, date], Query]:
    def query(first: date, end: date) -> Query:
        days = [("starting_at", f"{first}T00:00:00Z"), ("ending_at", f"{end}T00:00:00Z"), ("bucket_width", "1d")]
        return [*days, ("limit", "31"), *(("group_by[]", group) for group in groups)]

    return query


def _bearer(key: str) -> Mapping[str, str]:
    return {"Authorization": f"Bearer {key}"}


APIS: Mapping[str, Api] = {
    "openai": Api(
        _bearer,
        "an admin key of the organization (sk-admin-…) that may read usage",
        "",
        (
            Report("openai_costs", "Costs", "/v1/organization/costs", _openai(180, "project_id", "line_item")),
            Report(
                "openai_usage",
                "Use",
                "/v1/organization/usage/completions",
                _openai(31, "project_id", "model", "batch", "service_tier"),
            ),
        ),
    ),
    "anthropic": Api(
        lambda key: {"x-api-key": key, "anthropic-version": "2023-06-01"},
        "an admin key of the organization (sk-ant-admin…)",
        "",
        (
            Report(
                "anthropic_cost", "Costs", "/v1/organizations/cost_report", _anthropic("workspace_id", "description")
            ),
            Report(
                "anthropic_usage",
                "Use",
                "/v1/organizations/usage_report/messages",
                _anthropic("workspace_id", "model", "service_tier"),
            ),
        ),
    ),
    "openrouter": Api(
        _bearer,
        "a management key (formerly provisioning key)",
        "the last 30 complete days",
        (Report("openrouter_activity", "Activity", "/api/v1/activity", lambda first, end: []),),
    ),
}
