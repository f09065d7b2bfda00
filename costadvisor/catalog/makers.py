"""Who sells a model, where a log names the model and not who billed it."""

from functools import lru_cache

from genai_prices.data_snapshot import get_snapshot


@lru_cache(maxsize=2000)
def seller_find(model: str) -> str | None:
    """The provider of the price list that lists the model by this name, its maker before its hosts; None for none."""
    try:
        provider, _ = get_snapshot().find_provider_model(model, None, None, None)
    except LookupError:
        return None
    return provider.id
