"""Write forwarder/core/catalogue.py from Okta's public catalogue of event types.

Usage: python tools/make_catalogue.py event-types.json
The file is `packages/@okta/vuepress-site/data/event-types.json` of okta/okta-developer-docs.
Only names, tags and whether an event declares change details are taken.
"""

import json
import sys
from pathlib import Path

TARGET = Path(__file__).parent.parent / "forwarder" / "core" / "catalogue.py"


def main(source: Path) -> None:
    catalogue = json.loads(source.read_text(encoding="utf-8"))
    lines = [
        '"""Okta\'s public catalogue of event types, with the tags of each type. tools/make_catalogue.py generates this file."""',
        "",
        f'RELEASE = "{catalogue["release"]}"',
        '"""The release of Okta that the catalogue was published for."""',
        "",
        'HOOK_ELIGIBLE = "event-hook-eligible"',
        '"""The tag of the event types that Okta delivers by event hooks. All other types come only from the System Log."""',
        "",
        "EVENT_TYPES: dict[str, tuple[str, ...]] = {",
    ]
    for entry in sorted(catalogue["versions"][0]["eventTypes"], key=lambda entry: str(entry["id"])):
        if entry["beta"] or entry["internal"]:
            continue
        tags = sorted({*entry["tags"], *(["changeDetails"] if entry["schema"]["changeDetails"] else [])})
        body = ", ".join(json.dumps(tag) for tag in tags) + ("," if len(tags) == 1 else "")
        lines.append(f"    {json.dumps(entry['id'])}: ({body}),")
    lines += ["}", '"""Every public event type with its tags, sorted."""', ""]
    TARGET.write_text("\n".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
