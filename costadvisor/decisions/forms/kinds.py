"""The kinds of option that a decision can have, in the order of the page on which one is chosen."""

from collections.abc import Mapping
from typing import Any

from costadvisor.decisions.candidates import hosts
from costadvisor.decisions.forms.apis import ApiForm, HostForm, ProvisionedForm, host_key
from costadvisor.decisions.forms.fleets import (
    OwnedForm,
    RentedForm,
    ReservedForm,
    ServerlessForm,
    SpotForm,
    WindowForm,
)
from costadvisor.decisions.forms.mixtures import HybridForm, RoutedForm
from costadvisor.decisions.forms.options import OptionForm

KINDS: dict[str, dict[str, type[OptionForm]]] = {
    "Somebody else serves the model": {"host": HostForm, "api": ApiForm, "provisioned": ProvisionedForm},
    "We serve it ourselves": {
        "rented": RentedForm,
        "reserved": ReservedForm,
        "spot": SpotForm,
        "serverless": ServerlessForm,
        "window": WindowForm,
        "owned": OwnedForm,
    },
    "Both": {"hybrid": HybridForm, "routed": RoutedForm},
}
OPTION_FORMS: dict[str, type[OptionForm]] = {kind: form for group in KINDS.values() for kind, form in group.items()}


def form_of(option: Mapping[str, Any]) -> type[OptionForm]:
    """The form that corrects a stored option."""
    if option["kind"] == "self_host":
        return OPTION_FORMS[_fleet_kind(option)]
    known = {host.key for host in hosts()}
    if option["kind"] == "api":
        return HostForm if host_key(option) in known and not option.get("prices") else ApiForm
    return OPTION_FORMS[option["kind"]]


def _fleet_kind(option: Mapping[str, Any]) -> str:
    plan, policy = option["hardware"].get("plan", "on_demand"), option.get("scaling", {}).get("policy", "fixed")
    if plan == "owned" or plan == "spot":
        return str(plan)
    if plan.startswith("reserved"):
        return "reserved"
    if policy in ("window", "scale_to_zero"):
        return "window" if policy == "window" else "serverless"
    return "rented"
