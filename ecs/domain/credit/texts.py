"""What a person reads, per locale, with that person's own value in plain words."""

from typing import Final

from ecs.domain.credit.features import (
    DEBT_SERVICE_MAX,
    DRAWDOWN_MAX,
    SPEND_TO_INCOME_MAX,
    SPEND_TREND_MAX,
)

DEFAULT_LOCALE: Final = "en"

# A feature that stops counting at a maximum must not claim to be exact there.
MAXIMA: Final[dict[str, float]] = {
    "spend_to_income": SPEND_TO_INCOME_MAX,
    "spend_trend": SPEND_TREND_MAX,
    "max_drawdown": DRAWDOWN_MAX,
    "debt_service": DEBT_SERVICE_MAX,
}

# Keys: a feature (``.one`` for the singular, ``.zero`` where 0 has its own words, ``.none`` where
# nothing was seen), or a code.
TEXTS: Final[dict[str, dict[str, str]]] = {
    "en": {
        "income_30d": "Your income comes to {amount} a month",
        "spend_to_income": "Your spending is {percent} of your income",
        "n_inflows": "You received {count} payments above 50",
        "n_inflows.one": "You received {count} payment above 50",
        "inflow_cv": "Your incoming payments vary by {percent} around their average",
        "days_since_inflow": "Your last payment above 50 came {count} days ago",
        "days_since_inflow.one": "Your last payment above 50 came {count} day ago",
        "days_since_inflow.none": "No payment above 50 came in the last {count} days",
        "spend_cv": "Your daily spending varies by {percent} around its average",
        "spend_trend": "Your spending in the newer half of the period changed by {percent}",
        "max_drawdown": "Your balance fell by {percent} of your income",
        "debt_service": "Debt payments take {percent} of your income",
        "fee_count": "You paid {count} fees or charges for returned payments",
        "fee_count.one": "You paid {count} fee or charge for a returned payment",
        "gambling_share": "Gambling takes {percent} of your spending",
        "cash_share": "Cash withdrawals take {percent} of your spending",
        "tenure_months": "You have been with us for {count} months",
        "tenure_months.zero": "You have been with us for less than a month",
        "tenure_months.one": "You have been with us for {count} month",
        "missing": "Your transactions do not say what they were for",
        "R11.rows": "We see {count} transactions and need at least {needed}",
        "R11.rows.one": "We see {count} transaction and need at least {needed}",
        "R11.income": "We see no money coming in",
        "R12": "Debt payments and essentials leave {percent} of your income",
        "E01": "Your shared mood data raised the limit by {percent}",
        "step.rows": "Share at least {needed} transactions of the last {days} days",
        "step.income": "Share the account that your income is paid into",
        "percent": "{whole} %",
        "percent.below": "less than 1 %",
        "percent.or_more": "{whole} % or more",
    }
}


def feature_text(feature: str, value: float | None, *, unseen_days: int | None, locale: str) -> str:
    """
    Return what the value of a feature means.

    ``unseen_days`` is the length of the window where no income was seen in it at all.
    """
    texts = TEXTS[locale]
    if value is None:
        return texts["missing"]
    if feature == "days_since_inflow" and unseen_days is not None:
        return texts["days_since_inflow.none"].format(count=unseen_days)
    if "{percent}" in texts[feature]:
        return texts[feature].format(
            percent=_percent(value, locale=locale, maximum=MAXIMA.get(feature))
        )
    return _counted(feature, round(value), locale=locale)


def income_text(monthly_inflow: float, *, locale: str) -> str:
    """Return what somebody's income comes to."""
    return TEXTS[locale]["income_30d"].format(amount=round(monthly_inflow))


def rows_text(rows: int, *, needed: int, locale: str) -> str:
    """Return how few rows there are."""
    key = "R11.rows.one" if rows == 1 else "R11.rows"
    return TEXTS[locale][key].format(count=rows, needed=needed)


def no_income_text(*, locale: str) -> str:
    """Return that no income was seen."""
    return TEXTS[locale]["R11.income"]


def affordability_text(share_left: float, *, locale: str) -> str:
    """Return what is left of an income."""
    return TEXTS[locale]["R12"].format(percent=_percent(share_left, locale=locale))


def emotion_text(rise: float, *, locale: str) -> str:
    """Return by how much a limit rose."""
    return TEXTS[locale]["E01"].format(percent=_percent(rise, locale=locale))


def rows_step(*, needed: int, days: int, locale: str) -> str:
    """Return what helps somebody with too few rows."""
    return TEXTS[locale]["step.rows"].format(needed=needed, days=days)


def income_step(*, locale: str) -> str:
    """Return what helps somebody without income."""
    return TEXTS[locale]["step.income"]


def _counted(key: str, count: int, *, locale: str) -> str:
    texts = TEXTS[locale]
    form = {0: f"{key}.zero", 1: f"{key}.one"}.get(count, key)
    return texts.get(form, texts[key]).format(count=count)


def _percent(share: float, *, locale: str, maximum: float | None = None) -> str:
    texts, whole = TEXTS[locale], round(share * 100)
    if maximum is not None and share >= maximum:
        return texts["percent.or_more"].format(whole=whole)
    if share > 0 and whole == 0:
        return texts["percent.below"]
    return texts["percent"].format(whole=whole)
