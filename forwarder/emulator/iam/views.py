"""Admin roles, as the API shows who holds them."""

from typing import Any, Literal

Assignment = Literal["USER", "GROUP", "CLIENT"]


def standard_role(role: str, assignment: Assignment) -> dict[str, Any]:
    """Show that a standard role is assigned; `role` is Okta's word, as HELP_DESK_ADMIN."""
    label = role.replace("_", " ").title().removesuffix("Admin") + "Administrator"
    return {
        "id": f"ra1{role.replace('_', '')[:17]:0<17}",
        "label": label,
        "type": role,
        "status": "ACTIVE",
        "assignmentType": assignment,
    }
