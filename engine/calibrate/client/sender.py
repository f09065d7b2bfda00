"""How requests are put to one server: which it takes is found out at the start, by asking."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from engine.calibrate.client.prompts import Prompts
from engine.calibrate.client.wire import Answer, Body, Failure, Wire
from engine.calibrate.level import LevelSpec
from engine.calibrate.workload import Lengths
from engine.errors import InputError

TRIED_TOKENS = 4
TRIED_PROMPT = 16
SCALE_WORDS = (32, 160)  # two prompts of so many words, whose tokens the server counts
# To get answers of the length asked for, from servers that know different ways to say so. `min_tokens` after
# `ignore_eos`: it makes some engines edit the logits of each step, which takes time that is not the workload's.
LENGTH_OPTIONS: tuple[str, ...] = ("ignore_eos", "min_tokens", "")


@dataclass(slots=True)
class Sender:
    """A server, the model's name there, and the form of request it takes."""

    wire: Wire
    model: str
    length_option: str
    prompts: Prompts = field(default_factory=Prompts)

    @classmethod
    async def meet(cls, wire: Wire, model: str | None) -> Self:
        """Find out what the server takes; raises Failure when it does not answer, InputError when it refuses all."""
        name = model or _only(await wire.models())
        forms: tuple[Any, ...] = ("words",) if wire.chat else ("ids", "words")
        last: Failure | None = None
        for form, option in ((form, option) for option in LENGTH_OPTIONS for form in forms):
            sender = cls(wire, name, option, Prompts(form))
            try:
                await sender._try()
            except Failure as failure:
                if not failure.refused:
                    raise _explained(failure) from None
                last = failure
            else:
                return sender
        raise InputError(f"--endpoint refuses every form of request for the model {name!r}; the last time: {last}")

    def describe(self) -> Body:
        return {"model": self.model, "prompts": self.prompts.form, "length_option": self.length_option}

    def reset(self, spec: LevelSpec) -> None:
        if spec.content.corpus is not None:
            raise InputError(
                "text is cut into prompts by the model's tokenizer, which an endpoint does not lend; leave text out of "
                "the workload for random tokens"
            )
        self.prompts.reset()

    def body(self, lengths: Lengths) -> bytes:
        return self._body(self.prompts.draw(lengths), lengths.output)

    async def stream(self, body: bytes, answer: Answer) -> None:
        await self.wire.stream(body, answer)

    async def generate(self, prompts: Sequence[Sequence[int]], max_tokens: int) -> list[list[int]]:
        """Greedy continuations of all at once, as the bytes of their text: ids do not come back over the wire."""
        answers = [Answer() for _ in prompts]
        bodies = [self._body(self.prompts.of(prompt), max_tokens) for prompt in prompts]
        await asyncio.gather(*map(self.wire.stream, bodies, answers))
        return [list("".join(answer.text).encode()) for answer in answers]

    async def _try(self) -> None:
        """One small request; where it is of words, two more to see how many tokens words make."""
        await self.wire.stream(self.body(Lengths(TRIED_PROMPT, TRIED_TOKENS)), Answer())
        if self.prompts.form == "words":
            few, many = [await self._counted(words) for words in SCALE_WORDS]
            self.prompts.per_word = (many - few) / (SCALE_WORDS[1] - SCALE_WORDS[0])
            self.prompts.base = few - self.prompts.per_word * SCALE_WORDS[0]

    async def _counted(self, words: int) -> int:
        answer = Answer()
        await self.wire.stream(self._body(self.prompts.text(words), 1), answer)
        if not answer.prompt_tokens:
            raise InputError(
                "--endpoint takes no token ids and does not say how many tokens a text was (stream_options "
                "include_usage); prompts of a given length can't be made for it"
            )
        return answer.prompt_tokens

    def _body(self, prompt: list[int] | str, max_tokens: int) -> bytes:
        content: Body = {"messages": [{"role": "user", "content": prompt}]} if self.wire.chat else {"prompt": prompt}
        options: Body = {"ignore_eos": {"ignore_eos": True}, "min_tokens": {"min_tokens": max_tokens}, "": {}}
        return json.dumps(
            {
                "model": self.model,
                **content,
                "max_tokens": max_tokens,
                "temperature": 0,
                "seed": 0,
                "stream": True,
                "stream_options": {"include_usage": True},
                **options[self.length_option],
            },
            separators=(",", ":"),
        ).encode()


def _only(models: list[str]) -> str:
    if len(models) != 1:
        listed = f"lists {', '.join(models)}" if models else "does not say which models it has"
        raise InputError(f"--endpoint {listed}; name one with --endpoint-model NAME")
    return models[0]


def _explained(failure: Failure) -> Exception:
    """What a person has to do about it, where that is known."""
    if failure.status in (401, 403):
        return InputError(f"--endpoint refuses the key ({failure}); name the variable that holds it, --api-key-env")
    return failure
