"""Assigned standard admin roles, as the API shows them."""

from base64 import b32encode
from typing import Any, Literal

Assignment = Literal["USER", "GROUP", "CLIENT"]


def standard_role(role: str, assignment: Assignment) -> dict[str, Any]:
    """Return an assigned standard role as the API shows it; `role` is the name of the role, such as HELP_DESK_ADMIN."""
    label = role.replace("_", " ").title().removesuffix("Admin") + "Administrator"
    return {
        "id": b32encode(role.encode()).decode().rstrip("="),  # as in recordings of Okta's API
        "label": label,
        "type": role,
        "status": "ACTIVE",
        "assignmentType": assignment,
    }
