"""What a corrected test says of a difference from the baseline, in words."""

ALPHA = 0.05


def verdict(difference: float, p_corrected: float, higher_is_better: bool) -> str:
    """Better or worse only where the corrected test says so."""
    if p_corrected > ALPHA:
        return "no difference shown"
    return "better" if (difference > 0) == higher_is_better else "worse"
