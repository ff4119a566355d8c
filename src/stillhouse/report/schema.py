"""The JSON Schema of what a page embeds, as it is shipped beside this file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from stillhouse.report.content import RunReport

SCHEMA_FILE = Path(__file__).with_name("report.schema.json")


def report_schema() -> dict[str, Any]:
    """The schema of a report's JSON: of `#report-data`, and of `stillhouse report --format json`.

    Returns:
        JSON Schema, draft 2020-12.
    """
    schema = RunReport.model_json_schema(mode="serialization")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Stillhouse run report",
        **{name: value for name, value in schema.items() if name != "title"},
    }


def schema_text() -> str:
    """What the shipped file holds."""
    return json.dumps(report_schema(), indent=1, ensure_ascii=False) + "\n"
