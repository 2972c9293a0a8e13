"""The JSON Schema of the programme file, for editors: made from the model that reads the file."""

import json

from domain.programme import Programme


def programme_schema() -> str:
    """Give the schema (JSON Schema 2020-12) as text."""
    schema = Programme.model_json_schema()
    described = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Programme version of a partner programme",
        **{key: value for key, value in schema.items() if key != "title"},
    }
    return json.dumps(described, indent=2, ensure_ascii=False) + "\n"
