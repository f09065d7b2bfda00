"""What `python -m engine.calibrate` says while it works: one JSON object a line. Pure."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

NotNegative = Annotated[float, Field(ge=0)]


class Progress(BaseModel):
    """The last that was heard. A line without a throughput leaves the one before it standing."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)

    phase: str = Field(min_length=1, max_length=60)
    percent: float = Field(ge=0, le=100)
    message: str = Field(max_length=1000)
    seconds_left: NotNegative | None = None
    output_tokens_per_s: NotNegative | None = None

    @property
    def phase_name(self) -> str:
        return self.phase.replace("_", " ").capitalize()

    def followed_by(self, line: str) -> "Progress":
        """After `line`; a line that is no progress (a warning of some library) changes nothing."""
        try:
            heard = Progress.model_validate_json(line)
        except ValidationError:
            return self
        if heard.output_tokens_per_s is not None:
            return heard
        return heard.model_copy(update={"output_tokens_per_s": self.output_tokens_per_s})


STARTING = Progress(phase="starting", percent=0, message="Starting the engine")
