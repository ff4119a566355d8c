"""The facts of a bundle for whoever deploys it."""

from stillhouse.export.version_info import VersionFacts, version_info

FACTS = VersionFacts(
    "export-1",
    "2026-11-30",
    "org/base",
    120,
    {"christian_accuracy": {"value": 0.97, "low": 0.95, "high": 0.99}},
)


def test_every_fact_that_a_deployment_asks_for_is_there():
    told = version_info(FACTS)
    assert told == {
        "version": "export-1",
        "training_date": "2026-11-30",
        "base_model": "org/base",
        "training_data_size": 120,
        "validation_metrics": {"christian_accuracy": {"value": 0.97, "low": 0.95, "high": 0.99}},
        "christian_accuracy": 0.97,
        "secular_improvement": None,
    }
