"""Write config/forwarder.schema.json, by which editors complete and check a configuration.

Usage: python -m tools.make_config_schema
"""

from pathlib import Path

from forwarder.cli.config import schema_text

TARGET = Path(__file__).parent.parent / "config" / "forwarder.schema.json"

if __name__ == "__main__":
    TARGET.write_text(schema_text(), encoding="utf-8")
