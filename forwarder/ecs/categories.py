"""ECS categories and types of an Okta event type."""


def category(event_type: str) -> tuple[str, ...]:
    """The values of `event.category`."""
    return ("configuration",)


def kind(event_type: str) -> tuple[str, ...]:
    """The values of `event.type`."""
    return ("info",)
