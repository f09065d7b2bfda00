"""What an option is made of: a hybrid and a router are made of other options of the case."""

from decimal import Decimal

from costadvisor.economics.case import Case
from costadvisor.economics.options import (
    ApiOption,
    HybridOption,
    Option,
    ProvisionedOption,
    RoutedOption,
    SelfHostOption,
)
from costadvisor.economics.pointers import option_by_id

# Months that a plan binds for. A replica on such a plan, or with a commitment of its own, is paid around the clock.
TERM_MONTHS = {"reserved_1y": 12, "reserved_3y": 36}

SinglePart = ApiOption | SelfHostOption | ProvisionedOption


def single_part(case: Case, id_: str) -> SinglePart:
    """The option of that id, which is no mixture itself (see `consistency`)."""
    option = option_by_id(case, id_)
    if isinstance(option, HybridOption | RoutedOption):
        raise LookupError(id_)
    return option


def parts_of(case: Case, option: Option) -> tuple[SinglePart, ...]:
    """The option itself, or the two that it is made of."""
    if isinstance(option, HybridOption):
        return single_part(case, option.base), single_part(case, option.overflow)
    if isinstance(option, RoutedOption):
        return single_part(case, option.small), single_part(case, option.large)
    return (option,)


def fleets_of(case: Case, option: Option) -> tuple[SelfHostOption, ...]:
    """The parts that are served on GPUs of one's own, rented or bought."""
    return tuple(part for part in parts_of(case, option) if isinstance(part, SelfHostOption))


def uses_gpus(case: Case, option: Option) -> bool:
    """Leaving the API is the question: this is the line between the two groups of options."""
    return bool(fleets_of(case, option))


def base_of(case: Case, option: HybridOption) -> tuple[SelfHostOption, ApiOption]:
    """The own base and the API that takes what is above it."""
    base, overflow = parts_of(case, option)
    if not isinstance(base, SelfHostOption) or not isinstance(overflow, ApiOption):
        raise LookupError(option.id)
    return base, overflow


def shares_of(option: RoutedOption) -> tuple[Decimal, Decimal]:
    """Of requests, to the small and to the large option."""
    return option.small_share, 1 - option.small_share


def term_months(option: SelfHostOption) -> int:
    """Months for which a rented replica is taken on; 0 where it can be handed back any hour."""
    hardware = option.hardware
    return TERM_MONTHS.get(hardware.plan, hardware.commitment_months)


def is_owned(option: SelfHostOption) -> bool:
    return option.hardware.plan == "owned"


def paid_around_the_clock(option: SelfHostOption) -> bool:
    """Owned or committed: what stands there is paid, whatever the policy switches off."""
    return is_owned(option) or term_months(option) > 0
