"""`manage.py selftest`: what others worked out by hand comes out, and what they got wrong does not."""

from typing import Any

from django.core.management.base import BaseCommand

from costadvisor.economics.selftest import ExampleOutcome, self_test

DIFFERENT = 1


class Command(BaseCommand):
    """Exits 0 if every example comes out right, else 1."""

    help = "Reproduce published worked examples, and refuse published errors."
    requires_system_checks = ()

    def handle(self, *_: Any, **__: Any) -> None:
        results = self_test()
        for result in results:
            self.stdout.write(_told(result))
        passed = sum(result.ok for result in results)
        self.stdout.write(f"{passed}/{len(results)} worked examples come out right.")
        if passed < len(results):
            raise SystemExit(DIFFERENT)


def _told(result: ExampleOutcome) -> str:
    """The example, a line for each printed figure with ours beside it, and what it teaches."""
    example = result.example
    lines = [f"{example.by}: {example.inputs}"]
    for outcome in result.outcomes:
        mark = "DIFFERENT" if not outcome.ok else "same" if outcome.right_as_printed else "refused"
        lines.append(f"  {mark:9} {outcome.what}: printed {outcome.published}, here {outcome.ours}")
    lines += [f"  teaches: {lesson.title}" for lesson in result.lessons]
    return "\n".join(lines) + "\n"
