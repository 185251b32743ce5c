"""How many examples a property test takes, in proportion to the Hypothesis profile in force."""

import hypothesis


def examples(count: int) -> hypothesis.settings:
    """Settings for `count` examples where the profile takes Hypothesis's default of 100, and in proportion elsewhere."""
    return hypothesis.settings(max_examples=max(2, count * hypothesis.settings().max_examples // 100))
