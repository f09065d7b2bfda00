"""What is proposed: models on GPUs that hold them, at rates held against published ones, ranked and added in one go."""

import json
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client

from costadvisor.catalog.snapshot import snapshot
from costadvisor.decisions.capacity import ESTIMATED
from costadvisor.decisions.fits import REACHED, Fit, fit, fit_on, fits
from costadvisor.decisions.models import Decision
from costadvisor.decisions.ranked import suggestions
from costadvisor.decisions.resolve import case_resolve
from costadvisor.decisions.sized import Suggestion, with_suggestions
from costadvisor.economics import CaseError, evaluate, parse_case
from tests.costadvisor.decisions.conftest import page_of

CASES = Path(__file__).parents[3] / "docs" / "cases"
MODELS = {model.model: model for model in snapshot().open_models}
Json = dict[str, Any]


def case_named(name: str) -> Json:
    content: Json = json.loads((CASES / name / "case.json").read_text())
    return content


def found(name: str) -> list[Suggestion]:
    return suggestions(case_named(name), records=())


@pytest.mark.parametrize(
    ("model", "gpu", "gpus"),
    [
        ("Qwen/Qwen3-8B", "L4", 1),
        ("Qwen/Qwen3-8B", "H100", 1),
        ("meta-llama/Llama-3.3-70B-Instruct", "H100", 2),
        ("meta-llama/Llama-3.3-70B-Instruct", "MI300X", 1),
        ("openai/gpt-oss-120b", "A10", None),
    ],
)
def test_a_model_is_put_on_the_fewest_gpus_that_hold_it(model: str, gpu: str, gpus: int | None) -> None:
    placed = fit(MODELS[model], gpu, context=2000)
    assert (placed and placed.gpus) == gpus
    if placed and placed.gpus > 1:
        assert fit_on(MODELS[model], gpu, placed.gpus // 2, context=2000) is None


def test_a_context_beyond_the_model_fits_nowhere() -> None:
    assert list(fits(MODELS["Qwen/Qwen3-8B"], ["H100", "B200"], context=50_000)) == []


def test_the_arithmetic_holds_against_what_was_published_of_bfloat16() -> None:
    """Dense, one GPU: H100, A100, L40S and RTX 5090, from one request at once to 256, 1,024 to 8,192 tokens in."""
    reached = []
    for level in snapshot().published_throughput:
        if level.dtype == "bf16" and level.model == "Qwen/Qwen3-8B":
            placed = fit_on(MODELS[level.model], level.gpu, level.gpus, context=level.input_tokens)
            assert placed
            lengths = {"input_tokens": level.input_tokens, "output_tokens": level.output_tokens}
            reached.append(level.requests_per_s / placed.saturated_per_s(batch=level.concurrency, **lengths))
    assert len(reached) >= 20
    assert 0.65 < min(reached) <= REACHED <= max(reached) < 0.91


def test_a_target_out_of_reach_is_no_rate_and_a_slower_one_no_lower() -> None:
    placed = fit(MODELS["Qwen/Qwen3-8B"], "L4", context=2000)
    assert isinstance(placed, Fit)
    rates = [placed.requests_per_s(input_tokens=1500, output_tokens=500, tpot_p95_ms=ms) for ms in (20, 100, 500)]
    assert rates[0] == 0
    assert 0 < rates[1] <= rates[2]


def test_what_is_proposed_is_ranked_with_its_evidence_and_what_learning_costs() -> None:
    ranked = found("chat")
    allowed = [one for one in ranked if not one.refused]
    assert [one.refused == () for one in ranked] == sorted((one.refused == () for one in ranked), reverse=True)
    assert [one.tco_usd for one in allowed] == sorted(one.tco_usd for one in allowed)
    kinds = {one.kind for one in ranked}
    assert {
        "host of an open model",
        "rented by the hour",
        "own base, API overflow",
        "spot, following the week",
    } <= kinds
    for one in ranked:
        assert one.evidence
        assert (one.calibration_usd is not None) == (one.replicas is not None)
        assert one.grade == "E" or not one.estimated
    assert len({one.kind for one in ranked if one.suggested}) == sum(one.suggested for one in ranked) > 1
    assert not any(one.suggested and one.estimated for one in ranked)


def test_what_is_there_already_is_not_proposed_again() -> None:
    case = case_named("chat")
    chosen = [one for one in suggestions(case, records=()) if one.suggested]
    more = with_suggestions(case, chosen)
    assert not {one.key for one in chosen} & {one.key for one in suggestions(more, records=())}
    assert len(more["options"]) == len(case["options"]) + len(chosen)


def test_every_proposal_can_be_added_and_costs_about_what_it_says() -> None:
    case = case_named("chat") | {"draws": 300}
    for one in found("chat")[:12]:
        changed = with_suggestions(case, [one])
        answered = evaluate(case_resolve(parse_case(changed), folder=None))
        row = answered.options[-1]
        assert row.tco_usd
        assert row.tco_usd.p10 < one.tco_usd < row.tco_usd.p90


def test_a_hybrid_brings_its_base_or_takes_the_one_that_is_there() -> None:
    case = case_named("chat")
    hybrid = next(one for one in found("chat") if one.kind == "own base, API overflow")
    alone = with_suggestions(case, [hybrid])["options"]
    assert alone[-1]["base"] == alone[-2]["id"]
    base = next(one for one in found("chat") if one.add == hybrid.add[:1])
    both = with_suggestions(case, [base, hybrid])["options"]
    assert len(both) == len(alone)


def test_constraints_are_told_and_no_reason_hides_another() -> None:
    refused = [one for one in found("privacy") if one.refused]
    assert refused
    assert not any(one.suggested for one in refused)
    assert any("our own premises" in reason for one in refused for reason in one.refused)


def test_a_batch_workload_is_offered_a_window() -> None:
    assert "daily batch window" in {one.kind for one in found("spot")}
    assert "daily batch window" not in {one.kind for one in found("chat")}


def test_an_estimate_is_graded_e_and_says_that_nobody_measured_it() -> None:
    case = case_named("chat")
    estimated = next(one for one in found("chat") if one.estimated)
    resolved = case_resolve(parse_case(with_suggestions(case, [estimated])), folder=None)
    option = resolved.options[-1]
    assert option.kind == "self_host"
    assert option.capacity
    assert option.capacity.grade == "E"
    assert option.capacity.record is None
    assert "nobody measured it" in resolved.evidence[f"/options/{option.id}/capacity"].source


def test_an_estimate_of_what_does_not_fit_is_refused_by_its_path() -> None:
    case = case_named("chat")
    estimated = next(one for one in found("chat") if one.estimated)
    changed = with_suggestions(case, [estimated])
    changed["options"][-1]["model"] = "openai/gpt-oss-120b"
    with pytest.raises(CaseError, match=r"capacity/record: .* does not fit on 1 x .*; take more or larger GPUs"):
        case_resolve(parse_case(changed), folder=None)


def test_advise_proposes_and_writes_the_case(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    new = tmp_path / "new.json"
    call_command("advise", str(CASES / "spiky" / "case.json"), "--propose", str(new))
    told = capsys.readouterr().out
    assert "* qwen3-8b at openrouter (host of an open model)" in told
    assert "Qwen3-8B on RTX 5090" in told
    call_command("advise", str(new))
    assert capsys.readouterr().out.strip() in told
    before = {option["id"] for option in case_named("spiky")["options"]}
    assert before < {option["id"] for option in json.loads(new.read_text())["options"]}


def test_one_click_adds_what_is_suggested(client: Client, decision: Decision, home: str) -> None:
    page = page_of(client, f"{home}options/propose/")
    ranked = suggestions(decision.case, records=())
    assert all(one.name in page for one in ranked)
    assert page.count(" checked>") == sum(one.suggested for one in ranked) > 0
    assert "Tick at least one." in client.post(f"{home}options/propose/", {}).content.decode()
    client.post(f"{home}options/propose/", {"options": [one.key for one in ranked if one.suggested]})
    decision.refresh_from_db()
    assert len(decision.case["options"]) == 4 + sum(one.suggested for one in ranked)
    estimated = next(one for one in ranked if one.estimated and not one.refused)
    client.post(f"{home}options/propose/", {"options": [estimated.key]})
    decision.refresh_from_db()
    added = decision.case["options"][-1]
    assert added["capacity"] == {"record": ESTIMATED}
    assert "Estimated from the datasheet" in page_of(client, f"{home}options/{added['id']}/change/")
