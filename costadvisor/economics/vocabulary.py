"""What the parts of a case share: frozen models that refuse unknown keys, and the words that several of them use."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

Name = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Note = Annotated[str, StringConstraints(max_length=2000)]
OptionId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+:-]{0,63}$")]
Grade = Literal["A", "B", "C", "D", "E"]
Basis = Literal["billed", "measured", "imported", "estimated", "assumed"]
Privacy = Literal["no_training", "zero_retention", "in_region", "own_vpc", "on_prem"]


# A key added to the format later: unwritten where it says nothing, so that a case keeps its bytes and its hash.
left_out = Field(exclude_if=lambda value: not value)

unpriced = Field(exclude_if=lambda value: value is None)


class Part(BaseModel):
    """A frozen part of a case; unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")
